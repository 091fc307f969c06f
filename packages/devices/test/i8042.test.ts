import { describe, expect, test } from 'vitest';
import { I8042, Port92 } from '../src/index.ts';
import { fileCopy, Line } from './manual-clock.ts';

function makeController() {
  const keyboard = new Line();
  const mouse = new Line();
  const calls: string[] = [];
  const controller = new I8042({
    keyboardInterrupt: keyboard,
    mouseInterrupt: mouse,
    a20: (isOpen) => calls.push(isOpen ? 'a20' : 'no a20'),
    reset: () => calls.push('reset'),
  });
  const { data, command } = controller;
  /** All that can be read, the auxiliary device's bytes with 100h. */
  const drain = () => {
    const bytes = [];
    for (let status = command.read(0); (status & 1) !== 0; status = command.read(0))
      bytes.push(data.read(0) | ((status & 0x20) << 3));
    return bytes;
  };
  const ask = (code: number, ...parameters: number[]) => {
    command.write(0, code);
    for (const parameter of parameters) data.write(0, parameter);
    return drain();
  };
  const toKeyboard = (...bytes: number[]) =>
    bytes.flatMap((byte) => {
      data.write(0, byte);
      return drain();
    });
  const toMouse = (...bytes: number[]) => bytes.flatMap((byte) => ask(0xd4, byte));
  return { controller, keyboard, mouse, calls, data, command, drain, ask, toKeyboard, toMouse };
}

describe('8042 keyboard controller (PS/2 Technical Reference)', () => {
  test('self-tests, configuration byte, RAM', () => {
    const { ask, command } = makeController();
    expect(ask(0xaa)).toEqual([0x55]);
    expect([ask(0xab), ask(0xa9)]).toEqual([[0], [0]]);
    expect(ask(0x20)).toEqual([0x45]);
    expect(ask(0x60, 0x77)).toEqual([]);
    expect(ask(0x20)).toEqual([0x77]);
    ask(0x65, 0x12);
    expect(ask(0x25)).toEqual([0x12]);
    // The last write was a command; not locked; self-test passed.
    expect(command.read(0)).toBe(0x1c);
  });

  test("what Linux's i8042 driver looks for: AUX loop, AUX disable seen in the configuration, interrupt by the loop", () => {
    const { ask, mouse, keyboard } = makeController();
    ask(0x60, 0x47);
    expect(ask(0xd3, 0x5a)).toEqual([0x15a]);
    expect(mouse.rises).toBe(1);
    keyboard.rises = 0;
    expect([ask(0xd2, 0x33), keyboard.rises]).toEqual([[0x33], 1]);
    ask(0xa7);
    expect(ask(0x20)[0] & 0x20).toBe(0x20);
    ask(0xa8);
    expect(ask(0x20)[0] & 0x20).toBe(0);
    // No multiplexer: the loop gives back what was written.
    expect([0xf0, 0x56, 0xa4].flatMap((byte) => ask(0xd3, byte))).toEqual([0x1f0, 0x156, 0x1a4]);
  });

  test("what Linux's atkbd driver asks the keyboard", () => {
    const { ask, toKeyboard, controller } = makeController();
    ask(0x60, 0x05);
    expect(toKeyboard(0xff)).toEqual([0xfa, 0xaa]);
    expect(toKeyboard(0xf2)).toEqual([0xfa, 0xab, 0x83]);
    expect(toKeyboard(0xed, 5, 0xf3, 0, 0xf4)).toEqual([0xfa, 0xfa, 0xfa, 0xfa, 0xfa]);
    expect(controller.leds).toBe(5);
    expect(toKeyboard(0xee, 0xf0, 0, 0xfe)).toEqual([0xee, 0xfa, 0xfa, 2, 2]);
    expect(toKeyboard(0x12)).toEqual([0xfe]);
    // A command ends the wait for an argument.
    expect(toKeyboard(0xed, 0xf2)).toEqual([0xfa, 0xfa, 0xab, 0x83]);
    ask(0x60, 0x45);
    expect(toKeyboard(0xf2)).toEqual([0xfa, 0xab, 0x41]);
  });

  test('keys come translated to set 1 or as they are, each byte with an edge', () => {
    const { ask, controller, keyboard, drain, toKeyboard } = makeController();
    const keys = [0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75];
    expect(controller.key(keys)).toBe(true);
    expect(drain()).toEqual([0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
    expect(keyboard.rises).toBe(6);
    ask(0x60, 0x05);
    controller.key(keys);
    expect(drain()).toEqual(keys);
    toKeyboard(0xf5);
    expect(controller.key(keys)).toBe(false);
  });

  test('a disabled interface holds its bytes; a guest that does not read loses keys, not answers', () => {
    const { ask, controller, drain, data, command } = makeController();
    ask(0xad);
    controller.key([0x1c]);
    expect(drain()).toEqual([]);
    expect(ask(0xae)).toEqual([0x1e]);
    let taken = 0;
    while (controller.key([0x1c])) taken++;
    expect(taken).toBe(65);
    data.write(0, 0xee);
    expect(drain().at(-1)).toBe(0xee);
    for (let i = 0; i < 1000; i++) command.write(0, 0xaa);
    expect(drain().length).toBe(17);
  });

  test('the mouse identifies itself, and packets follow what was unlocked', () => {
    const { ask, controller, mouse, drain, toMouse } = makeController();
    ask(0x60, 0x47);
    expect(toMouse(0xff)).toEqual([0x1fa, 0x1aa, 0x100]);
    expect(toMouse(0xf2)).toEqual([0x1fa, 0x100]);
    expect(controller.movePointer(1, 1, 0, 0)).toBe(false);
    toMouse(0xf4);
    mouse.rises = 0;
    controller.movePointer(5, -3, 0, 1);
    expect(drain()).toEqual([0x129, 0x105, 0x1fd]);
    expect(mouse.rises).toBe(3);
    toMouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
    expect(toMouse(0xf2)).toEqual([0x1fa, 0x103]);
    controller.movePointer(0, 0, -1, 0);
    expect(drain()).toEqual([0x108, 0x100, 0x100, 0x1ff]);
    toMouse(0xf3, 200, 0xf3, 200, 0xf3, 80);
    expect(toMouse(0xf2)).toEqual([0x1fa, 0x104]);
    controller.movePointer(999, 0, 1, 16);
    expect(drain()).toEqual([0x108, 0x1ff, 0x100, 0x121]);
    expect(toMouse(0xe9)).toEqual([0x1fa, 0x120, 0x102, 80 | 0x100]);
    toMouse(0xee);
    expect(toMouse(0x12, 0xf2)).toEqual([0x112, 0x1f2]);
    expect(toMouse(0xec)).toEqual([0x1fa]);
  });

  test('output port: A20 and reset', () => {
    const { ask, calls } = makeController();
    expect(ask(0xd0)).toEqual([0xc3]);
    ask(0xd1, 0xdd);
    ask(0xd1, 0xdf);
    ask(0xdd);
    ask(0xdf);
    expect(calls.splice(0)).toEqual(['no a20', 'a20', 'no a20', 'a20']);
    ask(0xff);
    expect(calls).toEqual([]);
    ask(0xfe);
    ask(0xd1, 0xfe);
    expect(calls).toEqual(['reset', 'reset']);
  });

  test('a snapshot keeps what waits, and raises its line', () => {
    const { controller, ask } = makeController();
    ask(0x60, 0x47);
    controller.key([0x1c, 0xf0]);
    const copy = makeController();
    copy.controller.restore(fileCopy(controller.save()));
    expect(copy.controller.save()).toEqual(controller.save());
    expect(copy.keyboard.level).toBe(true);
    copy.controller.key([0x1c]);
    expect(copy.drain()).toEqual([0x1e, 0x9e]);
    copy.controller.reset();
    expect(copy.ask(0x20)).toEqual([0x45]);
  });
});

test('port 92h: A20 on changes, reset on a rise', () => {
  const calls: string[] = [];
  const port = new Port92({
    a20: (isOpen) => calls.push(isOpen ? 'a20' : 'no a20'),
    reset: () => calls.push('reset'),
  });
  expect(port.read()).toBe(2);
  for (const value of [2, 0, 2, 3, 3]) port.write(0, value);
  expect(calls).toEqual(['no a20', 'a20', 'reset']);
  const copy = new Port92({ reset: () => calls.push('reset') });
  copy.restore(fileCopy(port.save()));
  copy.write(0, 3);
  copy.reset();
  expect([copy.read(), calls.length]).toEqual([2, 3]);
});
