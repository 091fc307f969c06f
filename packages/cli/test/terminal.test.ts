import { expect, test } from 'vitest';
import { Terminal } from '../src/run/terminal.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function receiver(room: number): { text: string; readonly hasRoom: boolean; receive(byte: number): void } {
  return {
    text: '',
    get hasRoom() {
      return this.text.length < room;
    },
    receive(byte) {
      this.text += String.fromCharCode(byte);
    },
  };
}

test('keys wait until the serial port has room', () => {
  const terminal = new Terminal(() => {}, true);
  terminal.type(bytes('echo hello'));
  const first = receiver(4);
  expect(terminal.feed(first)).toBe(true);
  expect(terminal.feed(first)).toBe(false);
  const second = receiver(100);
  terminal.feed(second);
  expect([first.text, second.text]).toEqual(['echo', ' hello']);
});

test('Ctrl-A x quits, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A h helps; also when they arrive one by one', () => {
  let shown = '';
  const terminal = new Terminal((text) => (shown += text), true);
  for (const byte of bytes('a\x01\x01b\x01h')) terminal.type(Uint8Array.of(byte));
  const port = receiver(100);
  terminal.feed(port);
  expect([port.text, terminal.hasQuit]).toEqual(['a\x01b', false]);
  expect(shown).toContain('Ctrl-A x');
  terminal.type(bytes('\x01x'));
  expect(terminal.hasQuit).toBe(true);
});

test('a pipe sends its Ctrl-A', () => {
  const terminal = new Terminal(() => {}, false);
  terminal.type(bytes('\x01x'));
  const port = receiver(9);
  terminal.feed(port);
  expect([port.text, terminal.hasQuit]).toEqual(['\x01x', false]);
});
