import { describe, expect, test } from 'vitest';
import { PortMap, Uart16550 } from '../src/index.ts';

function makeUart() {
  const sent: number[] = [];
  const levels: boolean[] = [];
  const uart = new Uart16550({
    output: { write: (byte) => sent.push(byte) },
    interrupt: { set: (level) => levels.push(level) },
  });
  return { uart, sent, line: () => levels.at(-1) ?? false };
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

  test('ranges may not overlap', () => {
    const ports = new PortMap();
    const handler = { read: () => 0, write: () => {} };
    ports.add(0x3f8, 8, handler);
    expect(() => ports.add(0x3ff, 1, handler)).toThrow('port 0x3ff is taken');
    expect(() => ports.add(65530, 8, handler)).toThrow('0 to 65535');
  });
});
