import { describe, expect, test } from 'vitest';
import { FwCfg } from '../src/index.ts';
import { Ram, sequence } from './virtio/surroundings.ts';

function makeFwCfg() {
  const ram = new Ram(0x100000);
  const device = new FwCfg({ ramSize: 5 * 2 ** 32 + 0x10000000, cpus: 300, memory: ram });
  const read = (key: number, count: number) => {
    device.write(0, 2, key);
    return Array.from({ length: count }, () => device.read(1, 1));
  };
  /** A structure at 1000h, big-endian; @returns the control word afterwards */
  const dma = (control: number, length: number, address: number) => {
    for (const [i, word] of [control, length, Math.floor(address / 2 ** 32), address % 2 ** 32].entries())
      ram.view.setUint32(0x1000 + 4 * i, word);
    device.write(4, 4, 0);
    device.write(8, 4, 0x00100000);
    return ram.view.getUint32(0x1000);
  };
  return { ram, device, read, dma };
}

const text = (bytes: ArrayLike<number>) => String.fromCharCode(...Array.from(bytes));

describe('fw_cfg (QEMU, docs/specs/fw_cfg)', () => {
  test('well-known items; zeros behind their ends and for unknown keys', () => {
    const { read } = makeFwCfg();
    expect(text(read(0, 4))).toBe('QEMU');
    expect(read(1, 5)).toEqual([3, 0, 0, 0, 0]);
    expect(read(3, 8)).toEqual([0, 0, 0, 0x10, 5, 0, 0, 0]);
    expect(read(5, 2)).toEqual([44, 1]);
    expect(read(0x11, 2)).toEqual([0, 0]);
  });

  test('items with numbers of their own', () => {
    const { device, read } = makeFwCfg();
    device.set(0x11, Uint8Array.of(1, 2));
    expect(read(0x11, 3)).toEqual([1, 2, 0]);
  });

  test('files are in the directory by name', () => {
    const { device, read } = makeFwCfg();
    device.add('opt/second', Uint8Array.of(9));
    device.add('etc/first', Uint8Array.of(7, 8));
    const directory = Uint8Array.from(read(0x19, 4 + 2 * 64));
    const view = new DataView(directory.buffer);
    expect(view.getUint32(0)).toBe(2);
    const entries = [4, 68].map((at) => ({
      size: view.getUint32(at),
      key: view.getUint16(at + 4),
      name: text(directory.subarray(at + 8, directory.indexOf(0, at + 8))),
    }));
    expect(entries).toEqual([
      { size: 2, key: 0x21, name: 'etc/first' },
      { size: 1, key: 0x20, name: 'opt/second' },
    ]);
    expect(read(0x21, 2)).toEqual([7, 8]);
    device.add('etc/first', Uint8Array.of(1, 2, 3));
    expect([read(0x19, 8).at(-1), read(0x21, 3)]).toEqual([3, [1, 2, 3]]);
    expect(() => device.add('x'.repeat(56), new Uint8Array(0))).toThrow('1 to 55');
  });

  test('DMA: the signature, select with read, skip, zeros behind the end', () => {
    const { ram, device, dma } = makeFwCfg();
    const words = [device.read(4, 4), device.read(8, 4)];
    const signature = new DataView(new ArrayBuffer(8));
    for (const [i, word] of words.entries()) signature.setUint32(4 * i, word, true);
    expect(text(new Uint8Array(signature.buffer))).toBe('QEMU CFG');
    device.set(
      0x11,
      Uint8Array.from({ length: 100 }, (_, i) => i),
    );
    expect(dma((0x11 << 16) | 8 | 2, 4, 0x2000)).toBe(0);
    expect([...ram.bytes.subarray(0x2000, 0x2004)]).toEqual([0, 1, 2, 3]);
    expect(dma(4, 90, 0)).toBe(0);
    ram.bytes.fill(0xee, 0x2000, 0x2010);
    expect(dma(2, 8, 0x2000)).toBe(0);
    expect([...ram.bytes.subarray(0x2000, 0x2009)]).toEqual([94, 95, 96, 97, 98, 99, 0, 0, 0xee]);
  });

  test('DMA: bad addresses, writes and endless reads are errors', () => {
    const { dma, device, ram } = makeFwCfg();
    expect(dma((3 << 16) | 8 | 2, 8, 0xffffc)).toBe(1);
    expect(dma(2, 8, 2 ** 60)).toBe(1);
    expect(dma((3 << 16) | 8 | 16, 8, 0x2000)).toBe(1);
    expect(dma((3 << 16) | 8 | 2, 0xffffffff, 0)).toBe(1);
    device.write(4, 4, 0xffffffff);
    device.write(8, 4, 0);
    expect(ram.view.getUint32(0)).toBe(0);
  });

  test('a snapshot goes on inside the item', () => {
    const { device, read } = makeFwCfg();
    read(0, 2);
    const copy = makeFwCfg().device;
    copy.restore(JSON.parse(JSON.stringify(device.save())));
    expect(text([copy.read(1, 1), copy.read(1, 1)])).toBe('MU');
    expect(() => copy.restore({ ...device.save(), version: 2 as 1 })).toThrow('version 2');
  });

  test('100,000 random accesses', () => {
    const random = sequence(77);
    const { device, ram } = makeFwCfg();
    device.add('etc/x', new Uint8Array(1000));
    for (let i = 0; i < 100_000; i++) {
      if (random(8) === 0)
        for (let at = 0; at < 16; at += 4)
          ram.view.setUint32(random(64) * 16 + at, random(2 ** 32) >>> (random(2) * 16));
      const port = random(12);
      if (random(2) === 0) device.read(port, 1 << random(3));
      else device.write(port, 1 << random(3), random(4) === 0 ? random(2 ** 32) : random(64) << 24);
    }
    expect(device.save().version).toBe(1);
  });
});
