/*
 * Packets of gdb's remote serial protocol (gdb manual, E.1): `$data#checksum`, acknowledged by `+` or asked for again by `-`. Data are bytes here
 * as there: `}` escapes the next one, which comes with bit 5 turned over.
 */

const plus = 0x2b;
const minus = 0x2d;
const dollar = 0x24;
const hash = 0x23;
const escapeSign = 0x7d;
const star = 0x2a;
const interrupt = 3;

/** Bytes of data that a packet may have, as gdb is told (`PacketSize`). */
export const mostPacketBytes = 0x4000;

/** What arrives. */
export interface PacketListener {
  /** @param data without escapes */
  packet(data: Uint8Array): void;
  /** A packet whose checksum is wrong, or that is too long. */
  damaged(): void;
  acknowledged(isGood: boolean): void;
  interrupt(): void;
}

/** Finds packets in a stream of bytes, however they are cut. */
export class PacketReader {
  private readonly data = new Uint8Array(mostPacketBytes);
  private length = 0;
  private sum = 0;
  private state: 'outside' | 'data' | 'escaped' | 'first' | 'second' = 'outside';
  private expected = 0;

  constructor(private readonly listener: PacketListener) {}

  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.take(byte);
  }

  private take(byte: number): void {
    switch (this.state) {
      case 'outside':
        this.outside(byte);
        return;
      case 'escaped':
        this.add(byte, byte ^ 0x20);
        this.state = 'data';
        return;
      case 'data':
        if (byte === hash) this.state = 'first';
        else if (byte === dollar) this.begin();
        else if (byte === escapeSign) {
          this.sum += byte;
          this.state = 'escaped';
        } else this.add(byte, byte);
        return;
      case 'first':
        this.expected = digit(byte) << 4;
        this.state = 'second';
        return;
      default:
        this.state = 'outside';
        this.end(this.expected | digit(byte));
    }
  }

  private outside(byte: number): void {
    if (byte === dollar) this.begin();
    else if (byte === interrupt) this.listener.interrupt();
    else if (byte === plus || byte === minus) this.listener.acknowledged(byte === plus);
  }

  private begin(): void {
    this.length = 0;
    this.sum = 0;
    this.state = 'data';
  }

  private add(byte: number, meant: number): void {
    this.sum += byte;
    if (this.length < mostPacketBytes) this.data[this.length] = meant;
    this.length++;
  }

  private end(expected: number): void {
    if (this.length > mostPacketBytes || (this.sum & 0xff) !== expected) this.listener.damaged();
    else this.listener.packet(this.data.slice(0, this.length));
  }
}

/** A packet around data. */
export function framed(data: Uint8Array): Uint8Array {
  const out = [dollar];
  let sum = 0;
  const add = (byte: number): void => {
    out.push(byte);
    sum += byte;
  };
  for (const byte of data) {
    if (byte === hash || byte === dollar || byte === escapeSign || byte === star) {
      add(escapeSign);
      add(byte ^ 0x20);
    } else add(byte);
  }
  const check = (sum & 0xff).toString(16).padStart(2, '0');
  return Uint8Array.from([...out, hash, check.charCodeAt(0), check.charCodeAt(1)]);
}

/** Text of one byte for each character. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function textOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Bytes of a text of hexadecimal digits; undefined if it is not one. */
export function unhex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || /[^\da-f]/i.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}

/** Hexadecimal digits as a number below 2^64; undefined if it is not one. */
export function numberOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[\da-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

/** Bytes of a register, lowest first. */
export function littleEndian(value: bigint, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

export function registerValue(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

function digit(byte: number): number {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? 256 : value;
}
