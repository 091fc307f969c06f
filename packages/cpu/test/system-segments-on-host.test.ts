import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { Descriptor, readDescriptor } from '../src/system/descriptors.ts';
import { gdt, ldt, TransferMachine } from './transfer-machine.ts';

/*
 * Segments and far transfers at level 3 against an AMD EPYC under Linux; harness/segments.c made the fixture and says what its lines are.
 */
const lines = gunzipSync(readFileSync(new URL('fixtures/segments-on-host.txt.gz', import.meta.url)))
  .toString()
  .trim()
  .split('\n')
  .map((line) => line.split(' '));

const { es, cs, ss, ds, fs, ldtr } = Segment;
const hex = (text: string): bigint => BigInt(`0x${text}`);
const descriptors = lines.filter(([kind]) => kind === 'ldt').map((line) => hex(line[2]));
const base = 0x1_0000;
const frame = base + 0x8000;
/** RETFQ, RETF, IRETQ, IRETD, IRET, JMP and CALL through RBX, with the bytes of a frame's items. */
const kinds = [
  ['48cb', 8],
  ['cb', 4],
  ['48cf', 8],
  ['cf', 4],
  ['66cf', 2],
  ['ff2b', 4],
  ['ff1b', 4],
] as const;

const machine = new TransferMachine().long(3);
machine.state.set('segmentLimit', 511, ldtr);
machine.state.set('segmentSelector', 0x33, cs);
machine.state.set('segmentSelector', 0x2b, ss);
// Linux's GDT; bases of TSS and LDT do not matter.
machine.state.set('tableLimit', 0x7f, 0);
for (let at = 0; at < 0x80; at += 8) machine.longs(gdt + at, 0);
machine.longs(gdt + 0x08, 0x00cf9b000000ffffn, 0x00af9b000000ffffn, 0x00cf93000000ffffn);
machine.longs(gdt + 0x20, 0x00cffb000000ffffn, 0x00cff3000000ffffn, 0x00affb000000ffffn);
machine.longs(gdt + 0x40, 0x00008b0000004087n, 0, 0x000082000000ffffn, 0);
machine.longs(gdt + 0x78, 0x0040f50000000000n);
machine.longs(ldt, ...descriptors);
// User programs run with IF set, which they cannot change.
machine.state.flags = 0x202;
const start = machine.state.bytes.slice();

function restart(): void {
  machine.state.bytes.set(start);
  machine.ripLow = base;
  machine.ripHigh = 0;
}

test('LAR, LSL, VERR, VERW, MOV to ES and SS', () => {
  const queries = lines.filter(([kind]) => kind === 'query');
  for (const [, selector, ...host] of queries) {
    restart();
    machine.setRegister(3, hex(selector));
    const ours: string[] = [];
    const zero = (): number => ours.push(`${(machine.flags >> 6) & 1}`);
    for (const code of ['0f02c3', '0f03c3']) {
      machine.setRegister(0, -1);
      machine.run(code);
      zero();
      ours.push(machine.register(0).toString(16));
    }
    for (const code of ['0f00e3', '0f00eb']) {
      machine.run(code);
      zero();
    }
    for (const code of ['8ec3', '8ed3']) ours.push(faultText(machine.run(code)) || '-');
    expect(ours, selector).toEqual(host);
  }
  expect(queries).toHaveLength(4 * descriptors.length);
});

describe('far transfers', () => {
  test.each(kinds.map(([code, bytes], kind) => [code, bytes, kind] as const))('%s', (code, bytes, kind) => {
    const cases = lines.filter(([what, number]) => what === 'transfer' && number === `${kind}`);
    expect(cases.length).toBeGreaterThan(400);
    for (const [, , ...rest] of cases) {
      const items = rest.slice(0, 5).map(hex);
      const host = rest.slice(5);
      restart();
      for (let at = frame - 64; at < frame + 64; at += 8) machine.longs(at, 0);
      for (const [i, item] of items.entries()) {
        const at = frame + i * bytes;
        if (bytes === 8) machine.longs(at, BigInt.asIntN(64, item));
        else if (bytes === 4) machine.words(at, Number(BigInt.asIntN(32, item)));
        else machine.halves(at, Number(BigInt.asIntN(16, item)));
      }
      machine.setRegister(4, frame);
      machine.setRegister(3, frame);
      const fault = faultText(machine.run(code));
      const ours =
        fault !== ''
          ? [fault]
          : [machine.rip, machine.selector(cs), machine.register(4), machine.selector(ss)].map((value) =>
              value.toString(16),
            );
      // What the handler of the host saw has RF set; other flags are those of the C program but after IRET.
      if (fault === '' && code.endsWith('cf')) ours.push((machine.flags | 0x1_0000).toString(16));
      const expected = ours.length === 4 ? host.slice(0, 4) : host;
      if (expected.length === 5) expected[4] = (hex(expected[4]) | 0x1_0000n).toString(16);
      expect(ours, rest.slice(0, 5).join(' ')).toEqual(expected);
    }
  });
});

/** As the fixture has it: both numbers hexadecimal. */
function faultText(seen: string): string {
  return seen.replace(/^\d+/, (vector) => Number(vector).toString(16));
}

const windows = [
  [0, 0x20],
  [0x8fa0, 0x9040],
  [0xffe0, 0x1_0000],
] as const;

/** FNV-1a of the windows, as harness/segments.c computes it. */
function memoryHash(): string {
  let hash = 0x811c9dc5;
  for (const [from, to] of windows)
    for (let at = from; at < to; at++) hash = Math.imul(hash ^ machine.view.getUint8(base + at), 0x01000193);
  return (hash >>> 0).toString(16);
}

/** What the harness has in memory when an instruction starts. */
function fillMemory(code: Buffer, stack: number, width: number, items: readonly bigint[]): void {
  const { view } = machine;
  for (let at = 0; at < 0x4000; at += 2) view.setUint16(base + at, 0x0b0f, true);
  for (let at = 0x8f00; at < 0x1_0000; at++) view.setUint8(base + at, at * 7);
  for (const [i, byte] of code.entries()) view.setUint8(base + 0x5000 + i, byte);
  for (const [i, item] of items.entries())
    for (let j = 0; j < width; j++)
      view.setUint8(base + ((stack + i * width + j) & 0xffff), Number(item) >>> (8 * j));
}

describe('instructions of 16- and 32-bit code, with stacks of all kinds', () => {
  const cases = lines.filter(([what]) => what === 'legacy');
  const selectors = [...new Set(cases.map(([, code, stack]) => `${code} ${stack}`))];

  // As in the harness, nothing is outside its 64 KiB: where a stack is that wraps, or has lost its base.
  for (const page of [0, 0x8000, 0x9000, 0xf000, 0x2_0000]) machine.map(page, 0);

  test.each(selectors)('CS and SS %s', (name) => {
    for (const [, code, stack, pointer, bytes, width, ...rest] of cases) {
      if (`${code} ${stack}` !== name) continue;
      const items = rest.slice(0, 3).map(hex);
      const host = rest.slice(3);
      restart();
      enter(cs, Number(hex(code)));
      enter(ss, Number(hex(stack)));
      enter(ds, 0x2b);
      enter(es, 0x2b);
      machine.segment(fs, 0, 0, 0, 0x1_0000);
      // IRET to a 16-bit stack left the upper half of ESP, which was the harness's own.
      const is16 = stack === '7' || stack === '1cf';
      machine.setRegister(4, is16 ? BigInt(base) | (hex(pointer) & 0xffffn) : hex(pointer));
      for (const [register, value] of registers) machine.setRegister(register, value);
      machine.setRegister(5, is16 ? 0x5555_9010 : stack === '2b' ? base + 0x9010 : 0x9010);
      machine.ripLow = code === '23' ? base + 0x5000 : 0x5000;
      const offset = Number(hex(pointer)) - (stack === '2b' ? base : 0);
      fillMemory(Buffer.from(bytes, 'hex'), offset, Number(width), items);
      const fault = faultText(machine.run(bytes));
      const ours =
        fault !== ''
          ? [fault]
          : [
              machine.rip,
              machine.selector(cs),
              machine.register(4),
              machine.selector(ss),
              machine.flags | 0x1_0000,
              withoutNull(machine.selector(ds)),
              withoutNull(machine.selector(es)),
              ...registers.map(([register]) => machine.register(register)),
            ].map((value) => value.toString(16));
      if (fault === '') ours.push(memoryHash());
      expect(ours, [pointer, bytes, ...rest.slice(0, 3)].join(' ')).toEqual(host);
    }
  });
});

/** The kernel's own return to the harness made 0 of null selectors. */
const withoutNull = (selector: number): number => (selector < 4 ? 0 : selector);

const registers = [
  [0, 0x11111111],
  [1, 0x22222222],
  [2, 0x33333333],
  [3, 0x19000],
  [5, 0],
  [6, 0x66666666],
  [7, 0x77777777],
] as const;

/** Loads a segment register of the machine, unchecked, with what the LDT or the GDT says. */
function enter(segment: number, selector: number): void {
  const descriptor = new Descriptor();
  readDescriptor(machine, selector, descriptor);
  machine.segment(segment, selector, descriptor.base, descriptor.limit, descriptor.attributes | 1);
}
