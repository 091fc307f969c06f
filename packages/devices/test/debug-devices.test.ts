import { expect, test } from 'vitest';
import { DebugConsole, DebugExit, PcTestDevice, PortMap, PostCode, PvPanic } from '../src/index.ts';
import { fileCopy, Line } from './manual-clock.ts';

test('isa-debug-exit: status 2 × value + 1', () => {
  const codes: number[] = [];
  const ports = new PortMap();
  ports.add(0xf4, 4, new DebugExit((code) => codes.push(code)));
  ports.write(0xf4, 4, 0);
  ports.write(0xf4, 1, 0x31);
  ports.write(0xf4, 4, -1);
  expect([codes, ports.read(0xf4, 4)]).toEqual([[1, 0x63, 0xff], 0]);
});

test('debug console and port 80h', () => {
  let text = '';
  const output = new DebugConsole({ write: (byte) => (text += String.fromCharCode(byte)) });
  for (const letter of 'hi') output.write(0, letter.charCodeAt(0));
  expect([text, output.read()]).toEqual(['hi', 0xe9]);
  const post = new PostCode();
  post.write(0, 0x155);
  const copy = new PostCode();
  copy.restore(fileCopy(post.save()));
  expect([copy.read(), copy.value]).toEqual([0x55, 0x55]);
  copy.reset();
  expect(copy.read()).toBe(0);
});

test('pvpanic', () => {
  const events: string[] = [];
  const device = new PvPanic({
    panicked: () => events.push('panicked'),
    crashLoaded: () => events.push('crash loaded'),
  });
  expect(device.read()).toBe(3);
  for (const value of [1, 2, 0xfc]) device.write(0, value);
  expect(events).toEqual(['panicked', 'crash loaded']);
});

function makeTestDevice() {
  const lines = Array.from({ length: 24 }, () => new Line());
  const device = new PcTestDevice({ line: (input) => (input === 2 ? undefined : lines[input]) });
  const ports = new PortMap();
  ports.add(0xe0, 4, device.latch);
  ports.add(0xe4, 4, device.flush);
  ports.addBytes(0xe8, 4, device.byteLatch);
  ports.add(0x2000, 24, device.lines);
  return { device, lines, ports };
}

test('pc-testdev: latch, lines, memory, snapshot (kvm-unit-tests)', () => {
  const { device, lines, ports } = makeTestDevice();
  ports.write(0xe0, 4, 0x12345678);
  ports.write(0xe1, 1, 0xff);
  ports.write(0xe8, 2, 0xabcd);
  ports.write(0xe4, 4, 0x1000);
  expect([ports.read(0xe0, 4), ports.read(0xe2, 2), ports.read(0xe8, 4)]).toEqual([
    0x1234abcd, 0x1234, 0x1234abcd,
  ]);
  ports.write(0x2019 - 2, 1, 1);
  ports.write(0x2002, 1, 1);
  expect(lines.map((line) => line.level).lastIndexOf(true)).toBe(23);
  device.memory.write(0xfffc, 4, -2);
  device.memory.write(0x10, 2, 0x1234);
  expect([device.memory.read(0xfffc, 4), device.memory.read(0x11, 1)]).toEqual([0xffff_fffe, 0x12]);
  expect(device.memory.read(0xffff, 4)).toBe(0xff);
  const copy = makeTestDevice();
  copy.device.restore(fileCopy(device.save()));
  expect(copy.device.save()).toEqual(device.save());
  expect(copy.lines[23].level).toBe(true);
  copy.device.reset();
  expect([copy.lines[23].level, copy.ports.read(0xe0, 4)]).toEqual([false, 0x1234abcd]);
});
