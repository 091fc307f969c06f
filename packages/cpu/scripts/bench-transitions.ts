/**
 * How long leaving a guest and entering it again takes, through the port and with the tests' toy extension: `npm run bench:transitions`.
 * The host is VMRUN and JMP, the guest leaves at each second instruction.
 */
import { Intercept } from '../src/virtualization/intercept.ts';
import { ToyExtension } from '../test/virtualization/toy-extension.ts';
import { Guest, ToyMachine } from '../test/virtualization/toy-machine.ts';

class SkippingExtension extends ToyExtension {
  length = 0;

  override leave(): void {
    super.leave();
    this.guest.ripLow += this.length;
  }
}

const jump = (length: number): readonly number[] => [0xeb, 256 - length - 2];
const guests: readonly (readonly [
  name: string,
  code: readonly number[],
  intercepts: number,
  length: number,
])[] = [
  ['CPUID', [0x0f, 0xa2], Intercept.cpuid, 2],
  ['OUT', [0xe6, 0x80], Intercept.port, 2],
  ['HLT', [0xf4], Intercept.halt, 1],
  ['RDMSR', [0x0f, 0x32], Intercept.msr, 2],
  ['second-stage fault of a load', [0x8b, 0x07], 0, 2],
  ['#UD', [0x0f, 0x0b], 0, 2],
];
const seconds = Number(process.argv[2] ?? 1);

for (const [name, code, intercepts, length] of guests) {
  const extension = new SkippingExtension();
  extension.length = length;
  extension.keepsExits = false;
  const machine = new ToyMachine([...code, ...jump(code.length)], { extension });
  extension.wanted.intercepts = intercepts;
  extension.wanted.exceptions = 1 << 6;
  machine.cpu.setRegister(7, BigInt(Guest.data));
  machine.map(Guest.data, 0);
  // Warm.
  machine.run(400_000);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const before = process.cpuUsage();
    const exits = extension.exitCount;
    let spent = 0;
    while (spent < (seconds * 1e6) / 5) {
      machine.run(100_000);
      const { user, system } = process.cpuUsage(before);
      spent = user + system;
    }
    best = Math.min(best, (1000 * spent) / (extension.exitCount - exits));
  }
  console.log(`${name.padEnd(30)} ${best.toFixed(0).padStart(6)} ns, ${(1e9 / best).toFixed(0)} per second`);
}
