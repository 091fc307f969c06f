// Runs the benchmark guest and prints, for the interpreter and for compiled code, hashes of all that it left: they must be
// the same on every engine. Runs as it stands in Node and in a browser, beside bench.elf.
import { BareMachine, memoryHash, readBootImage, stateHash } from '@nest86/machine';

const memory = 128 << 20;
const where = new URL('./bench.elf', import.meta.url);
const image =
  where.protocol === 'file:'
    ? await import('node:fs').then((fs) => new Uint8Array(fs.readFileSync(where)))
    : new Uint8Array(await (await fetch(where)).arrayBuffer());

for (const accel of ['interp', 'jit']) {
  let text = '';
  const output = { write: (byte) => (text += String.fromCharCode(byte)) };
  const machine = new BareMachine({ memory, output, accel });
  machine.load(readBootImage(image), 'scale=1');
  const { reason } = machine.run(1_000_000_000);
  const ram = new Uint8Array(machine.engine.memory.buffer, machine.physical.base, memory);
  const { retired } = machine.processor.statistics;
  const kernels = text.split('\n').filter((line) => line.startsWith('end ')).length;
  const { regions, failures } = machine.engine.statistics;
  console.log(
    `${accel}: ${reason}, ${kernels} kernels, ${retired} instructions, state ${stateHash(machine.processor)}, memory ${memoryHash(ram)}`,
  );
  console.log(
    `${accel} regions: ${regions > 0 ? 'some' : 'none'}${failures.length > 0 ? `, ${failures[0]}` : ''}`,
  );
}
