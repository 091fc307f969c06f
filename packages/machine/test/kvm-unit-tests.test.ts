import { expect, test } from 'vitest';
import {
  builtFor,
  memorySize,
  parameter,
  readConfigurations,
  whyNot,
} from '../scripts/kvm-unit-tests/configuration.ts';
import { processorOf } from '../scripts/kvm-unit-tests/processor.ts';
import { Machine } from '../src/index.ts';

const [timed, bounded, nested, small] = readConfigurations(`
# comment
[timed]
file = vmexit.flat
smp = 2
test_args = "10 \`date +%s\`"
qemu_params = -cpu qemu64,+x2apic,-pcid -m 2g
groups = vmexit
timeout = 30

[bounded]
file = access_test.flat
arch = x86_64
qemu_params = -cpu IvyBridge,phys-bits=36,host-phys-bits=off
check = /sys/module/kvm_intel/parameters/allow_smaller_maxphyaddr=Y

#[off]
#file = off.flat

[nested]
file = vmx.flat
groups = vmx

[small]
file = small.flat
arch = i386
`);

test('configurations of kvm-unit-tests', () => {
  expect(timed).toEqual({
    name: 'timed',
    file: 'vmexit.flat',
    processors: 2,
    arguments: '10 0',
    parameters: ['-cpu', 'qemu64,+x2apic,-pcid', '-m', '2g'],
    groups: ['vmexit'],
    arch: undefined,
    timeout: 30,
  });
  expect([memorySize(timed), memorySize(bounded)]).toEqual([2 ** 31, 2 ** 27]);
  const reasons = (build: string): unknown[] =>
    [timed, bounded, nested, small].map((configuration) => whyNot(configuration, build));
  expect(reasons('x86_64')).toEqual([undefined, undefined, undefined, 'built for i386 alone']);
  expect(reasons('i386')).toEqual([undefined, 'built for x86_64 alone', undefined, undefined]);
  expect(builtFor('SRCDIR=.\nHOST=x86_64\nARCH=i386\n')).toBe('i386');
});

test("QEMU's processors become ours", () => {
  const { model, missing } = processorOf(`${parameter(timed, '-cpu')},+svm`, 2);
  expect([model.has('x2apic'), model.has('pcid'), missing]).toEqual([true, false, []]);
  expect([model.vendor, model.has('npt')]).toEqual(['amd', true]);
  expect(processorOf('max,+avic', 1).missing).toEqual(['avic']);
  expect(processorOf(parameter(bounded, '-cpu'), 1).model.physicalBits).toBe(36);
  expect(processorOf('Opteron_G1,vendor=AuthenticAMD', 1).model.vendor).toBe('amd');
  expect(processorOf('max', 1, ',-umip').model.has('umip')).toBe(false);
});

test('the test device, where it is asked for: its latch, and a line to the 8259', () => {
  const { pc } = new Machine({ memory: 2 << 20, testDevice: true, serial: { write: () => {} } });
  pc.ports.write(0xe0, 4, 0x1234_5678);
  expect(pc.ports.read(0xe9, 1)).toBe(0x56);
  const out = (port: number, ...values: readonly number[]): void => {
    for (const value of values) pc.ports.write(port, 1, value);
  };
  out(0x20, 0x11);
  out(0x21, 8, 4, 1, 0xff);
  pc.ports.write(0x2005, 4, 1);
  // The request register is read next.
  out(0x20, 0x0a);
  expect(pc.ports.read(0x20, 1) & 0x20).toBe(0x20);
  const bare = new Machine({ memory: 2 << 20, serial: { write: () => {} } });
  bare.pc.ports.write(0xe0, 4, 0x1234_5678);
  expect(bare.pc.ports.read(0xe0, 4) | 0).toBe(-1);
});
