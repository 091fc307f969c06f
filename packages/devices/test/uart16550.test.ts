import { describe, expect, test } from 'vitest';
import { PortMap, Uart16550 } from '../src/index.ts';
import { Line } from './manual-clock.ts';

function makeUart() {
  const sent: number[] = [];
  const line = new Line();
  const uart = new Uart16550({
    output: { write: (byte) => sent.push(byte) },
    interrupt: line,
  });
  return { uart, sent, line: () => line.level, rises: () => line.rises };
}

describe('16550 UART (PC16550D data sheet)', () => {
  test('what is written to the data register is sent, and the transmitter is empty again', () => {
    const { uart, sent } = makeUart();
    uart.write(0, 0x41);
    expect(sent).toEqual([0x41]);
    expect(uart.read(5) & 0x60).toBe(0x60);
  });

  test('DLAB turns offsets 0 and 1 into the divisor', () => {
    const { uart, sent } = makeUart();
    uart.write(3, 0x83);
    uart.write(0, 0x34);
    uart.write(1, 0x12);
    expect([uart.read(0), uart.read(1)]).toEqual([0x34, 0x12]);
    uart.write(3, 3);
    expect(sent).toEqual([]);
    expect(uart.read(1)).toBe(0);
  });

  test('without FIFO a second byte overruns the first; LSR tells once', () => {
    const { uart } = makeUart();
    uart.receive(1);
    uart.receive(2);
    expect(uart.read(5) & 3).toBe(3);
    expect(uart.read(5) & 3).toBe(1);
    expect(uart.read(0)).toBe(2);
    expect(uart.read(5) & 1).toBe(0);
  });

  test('the FIFO holds 16 bytes and loses the 17th', () => {
    const { uart } = makeUart();
    uart.write(2, 1);
    for (let byte = 0; byte < 17; byte++) uart.receive(byte);
    expect(uart.hasRoom).toBe(false);
    expect(uart.read(5) & 2).toBe(2);
    for (let byte = 0; byte < 16; byte++) expect(uart.read(0)).toBe(byte);
    expect(uart.read(5) & 1).toBe(0);
  });

  test('interrupts come by priority, and only through OUT2', () => {
    const { uart, line } = makeUart();
    uart.write(1, 3);
    uart.receive(7);
    expect(line()).toBe(false);
    uart.write(4, 8);
    expect(line()).toBe(true);
    expect(uart.read(2)).toBe(4);
    uart.read(0);
    // Now the empty transmitter, until it is read.
    expect(uart.read(2)).toBe(2);
    expect(uart.read(2)).toBe(1);
    expect(line()).toBe(false);
  });

  test('loop mode connects the transmitter to the receiver and the modem lines to each other', () => {
    const { uart, sent } = makeUart();
    uart.write(4, 0x10 | 2);
    uart.write(0, 0x55);
    expect(sent).toEqual([]);
    expect(uart.read(0)).toBe(0x55);
    expect(uart.read(6) & 0xf0).toBe(0x10);
  });

  test("Linux's 8250 driver finds a 16550A: what its autoconfig asks", () => {
    const { uart } = makeUart();
    uart.write(1, 0);
    expect(uart.read(1)).toBe(0);
    uart.write(1, 0x4f);
    expect(uart.read(1)).toBe(0x0f);
    uart.write(1, 0);
    uart.write(4, 0x1a);
    expect(uart.read(6) & 0xf0).toBe(0x90);
    uart.write(4, 0);
    for (const byte of [0xa5, 0x5a]) {
      uart.write(7, byte);
      expect(uart.read(7)).toBe(byte);
    }
    // No enhanced features register in the place of IIR, no bank of another maker's, no 64 bytes of FIFO.
    uart.write(3, 0xbf);
    uart.write(2, 0);
    expect(uart.read(2)).toBe(1);
    uart.write(2, 1);
    for (const lineControl of [0, 0x80, 0xbf, 0xe0]) {
      uart.write(3, lineControl);
      expect(uart.read(2)).toBe(0xc1);
    }
    for (const lineControl of [0, 0x80]) {
      uart.write(3, lineControl);
      uart.write(2, 0x21);
      expect(uart.read(2) >> 5).toBe(6);
    }
    uart.write(3, 3);
    uart.write(2, 7);
    uart.write(4, 0x10);
    for (let i = 0; i < 256; i++) uart.write(0, i);
    let held = 0;
    while ((uart.read(5) & 1) !== 0) {
      uart.read(0);
      held++;
    }
    expect(held).toBe(16);
  });

  test('the THRE interrupt is asked for again by each enabling, and taken back by IIR or by a byte', () => {
    const { uart, line, rises } = makeUart();
    uart.write(4, 8);
    for (let i = 0; i < 2; i++) {
      uart.write(1, 2);
      expect([line(), uart.read(2), line(), uart.read(2)]).toEqual([true, 2, false, 1]);
      uart.write(1, 0);
    }
    uart.write(1, 2);
    // Enabled already: nothing new.
    uart.read(2);
    uart.write(1, 2);
    expect(line()).toBe(false);
    // Each byte is an edge, for edge-triggered interrupt controllers.
    const before = rises();
    for (let i = 0; i < 3; i++) uart.write(0, 0x41);
    expect(rises() - before).toBe(3);
    // One of higher priority that is read does not take it back.
    uart.write(1, 3);
    uart.receive(1);
    expect([uart.read(2), uart.read(0), uart.read(2), uart.read(2)]).toEqual([4, 1, 2, 1]);
  });

  test('RESET keeps divisor and scratch register', () => {
    const { uart, line } = makeUart();
    uart.write(4, 8);
    uart.write(1, 3);
    uart.write(2, 1);
    uart.write(7, 0x12);
    uart.receive(1);
    uart.reset();
    expect([line(), ...[1, 2, 3, 4, 5, 6, 7].map((offset) => uart.read(offset))]).toEqual([
      false,
      0,
      1,
      0,
      0,
      0x60,
      0xb0,
      0x12,
    ]);
  });

  test('a snapshot continues where it was taken', () => {
    const { uart } = makeUart();
    uart.write(2, 1);
    uart.write(7, 0x99);
    uart.receive(1);
    const copy = makeUart();
    copy.uart.restore(JSON.parse(JSON.stringify(uart.save())));
    expect(copy.uart.read(7)).toBe(0x99);
    expect(copy.uart.read(0)).toBe(1);
    expect(copy.uart.save()).toEqual({ ...uart.save(), received: [] });
  });
});

describe('ports', () => {
  test('nobody answers with ones', () => {
    expect(new PortMap().read(0x80, 1)).toBe(-1);
  });

  test('wide accesses to a device of bytes are divided, those beyond it go to its neighbour', () => {
    const ports = new PortMap();
    const written: number[] = [];
    const device = (base: number) => ({
      read: (offset: number) => base + offset,
      write: (offset: number, value: number) => written.push(base + offset, value),
    });
    ports.addBytes(0x60, 1, device(0x10));
    ports.addBytes(0x61, 2, device(0x20));
    expect([ports.read(0x60, 2), ports.read(0x60, 4) >>> 0]).toEqual([0x2010, 0xff212010]);
    ports.write(0x60, 4, 0x44332211);
    expect(written).toEqual([0x10, 0x11, 0x20, 0x22, 0x21, 0x33]);
    ports.addBytes(0xffff, 1, device(0));
    expect(ports.read(0xffff, 2)).toBe(0xff00);
  });

  test('ranges may not overlap', () => {
    const ports = new PortMap();
    const handler = { read: () => 0, write: () => {} };
    ports.add(0x3f8, 8, handler);
    expect(() => ports.add(0x3ff, 1, handler)).toThrow('port 0x3ff is taken');
    expect(() => ports.add(65530, 8, handler)).toThrow('0 to 65535');
  });
});
