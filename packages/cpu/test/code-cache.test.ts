import { describe, expect, test } from 'vitest';
import type { Block } from '../src/engine/code-cache.ts';
import { Engine } from '../src/engine/engine.ts';
import { Row, record } from '../src/records/layout.ts';
import { plainMode } from './plain-mode.ts';

const noPage = (): number => -1;

describe('code cache', () => {
  test('an edge takes the place of a block that was not kept; what is written there then does not harm it', () => {
    const { code, modes, physical, view } = new Engine({ ramSize: 65536 });
    const mode = modes.of(plainMode(64));
    const page = physical.base;
    // jmp $, twice.
    physical.bytes.set([0xeb, 0xfe], page);
    physical.bytes.set([0xeb, 0xfe], page + 0x100);
    const kept = code.translate(page, 0, mode, noPage, 64, 4096) as Block;
    const once = code.translate(page, 0x100, mode, noPage, 1, 4096) as Block;
    const edge = code.extraRecord(kept);
    expect(edge).toBe(once.record);
    view.setUint16(edge + record.handler, Row.page, true);
    physical.written(page + 0x100, 1);
    expect(view.getUint16(edge + record.handler, true)).toBe(Row.page);
    expect(code.isHeader(kept.record)).toBe(true);
  });
});
