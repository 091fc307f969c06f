import { Cr0, Cr4, Efer, Fault, PagingMode, Translation } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Activity, Segment } from '../state/layout.ts';
import { attributePresent, attributeUnusable } from '../state/segment-cache.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { fixedDr6, fixedDr7 } from './debug-registers.ts';
import { guestFault } from './fault.ts';
import { Flag } from './modes.ts';
import { writeSegment } from './segment-registers.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/*
 * System-management mode: entry by an SMI, and RSM (APM vol. 2, chapter 10; SDM vol. 3, chapter 32). The state is saved in AMD64's map, which
 * firmware for virtual machines expects on both vendors' processors.
 */

/** Offsets from SMBASE (APM vol. 2, table 10-1). Those of 64 bits have their upper half 4 bytes on. */
const Save = {
  /** Segments ES CS SS DS FS GS, 16 bytes each: selector 16 bits, attributes 16, limit 32, base 64. */
  segments: 0xfe00,
  gdtr: 0xfe60,
  ldtr: 0xfe70,
  idtr: 0xfe80,
  tr: 0xfe90,
  /** Byte 0: restart the I/O instruction; 1: return into HLT; 2: NMIs are blocked; 3: interrupts are shadowed. */
  restart: 0xfec8,
  efer: 0xfed0,
  revision: 0xfefc,
  smbase: 0xff00,
  cr4: 0xff48,
  cr3: 0xff50,
  cr0: 0xff58,
  dr7: 0xff60,
  dr6: 0xff68,
  rflags: 0xff70,
  rip: 0xff78,
  /** RAX; the others follow downwards. */
  rax: 0xfff8,
} as const;

/** 64 in bits 7:0: AMD64's map; bit 17: SMBASE can be moved. No I/O instruction is restarted (bit 16). */
const revision = 0x2_0064;

const entryPoint = 0x8000;
/** Data, readable and writable, present, 4 GiB. */
const flatAttributes = 0x8093;
const cr0Em = 1 << 2;
const cr0Ts = 1 << 3;
const cr0Et = 1 << 4;
const initialFlags = 2;
const initialDr7 = 0x400;

const translation = new Translation();

// The save area lies in physical memory, below SMBASE + 64 KiB.

function read(unit: SystemUnit, offset: number): number {
  const at = (unit.state.low('smbase') >>> 0) + offset;
  return unit.mmu.memory.read(Math.floor(at / 0x1000), at & 0xfff, 4);
}

function write(unit: SystemUnit, offset: number, value: number): void {
  const at = (unit.state.low('smbase') >>> 0) + offset;
  unit.mmu.memory.write(Math.floor(at / 0x1000), at & 0xfff, 4, value);
}

function writePair(unit: SystemUnit, offset: number, low: number, high: number): void {
  write(unit, offset, low);
  write(unit, offset + 4, high);
}

function placeOfSegment(segment: number): number {
  if (segment === Segment.ldtr) return Save.ldtr;
  return segment === Segment.tr ? Save.tr : Save.segments + 16 * segment;
}

/**
 * Takes an SMI between instructions: the state is saved, and code at SMBASE + 8000h goes on in a mode like real-address mode with segments of 4 GiB
 * (APM vol. 2, 10.3.2). RIP to save is `unit.nextLow` and `nextHigh`, and they become that of the handler.
 */
export function enterSmm(unit: SystemUnit): void {
  const { state, context, mmu } = unit;
  unit.smmChanged(true);
  save(unit);

  state.set('inSmm', 1);
  state.set('nmiBlocked', 1);
  state.set('interruptShadow', 0);
  state.set('activity', Activity.running);
  context.cr0 &= ~(Cr0.pe | cr0Em | cr0Ts | Cr0.pg);
  context.cr4 = 0;
  context.efer = 0;
  mmu.tlb.implicitFlush('smm');
  mmu.enter(context);
  state.set('cpl', 0);
  state.flags = initialFlags;
  state.setPair('debug', initialDr7, 0, 7);
  const base = state.low('smbase');
  writeSegment(unit, Segment.cs, base >>> 4, base, 0, -1, flatAttributes);
  for (const segment of [Segment.es, Segment.ss, Segment.ds, Segment.fs, Segment.gs])
    writeSegment(unit, segment, 0, 0, 0, -1, flatAttributes);
  unit.nextLow = entryPoint;
  unit.nextHigh = 0;
  unit.contextChanged();
  unit.breakpointsChanged();
}

function save(unit: SystemUnit): void {
  const { state, context } = unit;
  for (let segment = 0; segment < 8; segment++) {
    const at = placeOfSegment(segment);
    const attributes = state.get('segmentAttributes', segment);
    // 16 bits: what is unusable is saved as not present.
    const kept = (attributes & attributeUnusable) !== 0 ? attributes & ~attributePresent : attributes;
    write(unit, at, (state.get('segmentSelector', segment) & 0xffff) | (kept << 16));
    write(unit, at + 4, state.get('segmentLimit', segment));
    writePair(unit, at + 8, state.low('segmentBase', segment), state.high('segmentBase', segment));
  }
  for (const [table, at] of [Save.gdtr, Save.idtr].entries()) {
    write(unit, at + 4, state.get('tableLimit', table) & 0xffff);
    writePair(unit, at + 8, state.low('tableBase', table), state.high('tableBase', table));
  }
  const wasHalted = state.get('activity') === Activity.halted ? 1 : 0;
  const nmiBlocked = state.get('nmiBlocked') !== 0 ? 1 : 0;
  write(unit, Save.restart, (wasHalted << 8) | (nmiBlocked << 16) | (state.get('interruptShadow') << 24));
  writePair(unit, Save.efer, context.efer, 0);
  write(unit, Save.revision, revision);
  write(unit, Save.smbase, state.low('smbase'));
  writePair(unit, Save.cr4, context.cr4, 0);
  writePair(unit, Save.cr3, context.cr3Low, context.cr3High);
  writePair(unit, Save.cr0, context.cr0, 0);
  writePair(unit, Save.dr7, state.low('debug', 7), 0);
  writePair(unit, Save.dr6, state.low('debug', 6), 0);
  writePair(unit, Save.rflags, state.flags, 0);
  writePair(unit, Save.rip, unit.nextLow, unit.nextHigh);
  for (let register = 0; register < 16; register++)
    writePair(unit, Save.rax - 8 * register, state.low('gpr', register), state.high('gpr', register));
}

/** SDM vol. 2, RSM; APM vol. 2, 10.3.6: a state that cannot be is a shutdown. */
const rsm: Service = (unit, instruction) => {
  const { state } = unit;
  // The intercept goes before everything (APM vol. 2, table 15-7).
  if (isIntercepted(unit, Intercept.resume, instruction)) return;
  if (state.get('inSmm') === 0) throw guestFault(Exception.invalidOpcode);
  if (!restoreControl(unit)) {
    state.set('activity', Activity.shutdown);
    unit.stop();
    return;
  }
  restore(unit);
  state.set('inSmm', 0);
  unit.smmChanged(false);
  unit.contextChanged();
  unit.breakpointsChanged();
};

/** Loads CR0, CR3, CR4 and EFER. @returns false if they do not go together; nothing has changed then but PDPTEs */
function restoreControl(unit: SystemUnit): boolean {
  const { context, mmu, capabilities } = unit;
  const cr0 = read(unit, Save.cr0) | cr0Et;
  const cr3Low = read(unit, Save.cr3);
  const cr3High = read(unit, Save.cr3 + 4);
  const cr4 = read(unit, Save.cr4);
  const saved = read(unit, Save.efer);
  if ((read(unit, Save.cr0 + 4) | read(unit, Save.cr4 + 4) | read(unit, Save.efer + 4)) !== 0) return false;
  const hasPaging = (cr0 & Cr0.pg) !== 0;
  if (hasPaging && (cr0 & Cr0.pe) === 0) return false;
  if ((cr0 & Cr0.nw) !== 0 && (cr0 & Cr0.cd) === 0) return false;
  if ((cr4 & ~capabilities.cr4) !== 0 || (saved & ~capabilities.efer) !== 0) return false;
  const isLong = hasPaging && (saved & Efer.lme) !== 0;
  if (isLong && (cr4 & Cr4.pae) === 0) return false;
  if (!isLong && (cr4 & Cr4.pcide) !== 0) return false;
  if (isLong && (cr3High & (mmu.model.reservedHigh | (0xfff0_0000 | 0))) !== 0) return false;
  const {
    cr0: cr0Before,
    cr3Low: lowBefore,
    cr3High: highBefore,
    cr4: cr4Before,
    efer: eferBefore,
  } = context;
  context.cr0 = cr0;
  context.cr3Low = cr3Low;
  context.cr3High = cr3High;
  context.cr4 = cr4;
  context.efer = isLong ? saved | Efer.lma : saved & ~Efer.lma;
  mmu.tlb.implicitFlush('smm');
  mmu.enter(context);
  // PDPTE registers are loaded with CR3 (SDM vol. 3, 4.4.1).
  if (context.mode !== PagingMode.pae || mmu.writeCr3(context, cr3Low, cr3High, translation) === Fault.none)
    return true;
  context.cr0 = cr0Before;
  context.cr3Low = lowBefore;
  context.cr3High = highBefore;
  context.cr4 = cr4Before;
  context.efer = eferBefore;
  mmu.enter(context);
  return false;
}

function restore(unit: SystemUnit): void {
  const { state, context } = unit;
  for (let segment = 0; segment < 8; segment++) {
    const at = placeOfSegment(segment);
    const first = read(unit, at);
    const attributes = (first >>> 16) & 0xf0ff;
    const isPresent = (attributes & attributePresent) !== 0;
    writeSegment(
      unit,
      segment,
      first & 0xffff,
      read(unit, at + 8),
      read(unit, at + 12),
      read(unit, at + 4),
      isPresent ? attributes : attributes | attributeUnusable,
    );
  }
  for (const [table, at] of [Save.gdtr, Save.idtr].entries()) {
    state.set('tableLimit', read(unit, at + 4) & 0xffff, table);
    state.setPair('tableBase', read(unit, at + 8), read(unit, at + 12), table);
  }
  state.setPair('debug', fixedDr7(read(unit, Save.dr7)), 0, 7);
  state.setPair('debug', fixedDr6(read(unit, Save.dr6)), 0, 6);
  const flags = read(unit, Save.rflags);
  state.flags = flags;
  // As under VMX and SVM the CPL is the stack segment's DPL.
  const stackPrivilege = (state.get('segmentAttributes', Segment.ss) >> 5) & 3;
  const isProtected = (context.cr0 & Cr0.pe) !== 0;
  state.set('cpl', !isProtected ? 0 : (flags & Flag.virtual8086) !== 0 ? 3 : stackPrivilege);
  for (let register = 0; register < 16; register++) {
    const at = Save.rax - 8 * register;
    state.setPair('gpr', read(unit, at), read(unit, at + 4), register);
  }
  unit.nextLow = read(unit, Save.rip);
  unit.nextHigh = read(unit, Save.rip + 4);
  const restart = read(unit, Save.restart);
  state.set('nmiBlocked', (restart >>> 16) & 1);
  state.set('interruptShadow', (restart >>> 24) & 3);
  if ((restart & 0x100) !== 0) {
    state.set('activity', Activity.halted);
    unit.stop();
  }
  // Last: the reads above went by the old one.
  state.setPair('smbase', read(unit, Save.smbase), 0);
}

export const smmServices: Services = { RSM: rsm };
