import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  DecoderOptions,
  type DecoderOptionsInit,
  DecodeStatus,
  decode,
  Instruction,
  noRegister,
  registerByName,
  registerName,
} from '../src/index.ts';
import {
  Access,
  accessTo,
  ConditionCode,
  ControlFlow,
  conditionCode,
  controlFlow,
  cpuidFeatures,
  ElementKind,
  endsBlock,
  exceptionClass,
  Flag,
  flagsModified,
  flagsUndefined,
  flagsWritten,
  fpuIsConditional,
  fpuTopIncrement,
  fullRegister,
  InstructionInfo,
  isLockable,
  isPrivileged,
  isString,
  MemoryElement,
  Mode,
  memoryElement,
  modes,
  overlap,
  Privilege,
  privilege,
  readInfo,
  stackPointerIncrement,
  Trait,
  traits,
} from '../src/info/index.ts';
import { oracleOptions } from './oracle/iced.ts';
import { compareInfo, compareProperties, sampleBuffers } from './oracle/iced-info.ts';
import { randomStrings } from './oracle/random.ts';
import { summary } from './oracle/summary.ts';

const instruction = new Instruction();
const info = new InstructionInfo();

function read(hex: string, init: DecoderOptionsInit = {}): InstructionInfo {
  const status = decode(Uint8Array.from(Buffer.from(hex, 'hex')), 0, new DecoderOptions(init), instruction);
  expect(status, hex).toBe(DecodeStatus.ok);
  readInfo(instruction, info);
  return info;
}

/** Access to a register by name, 0 if it is not in the list. */
function access(name: string): number {
  const register = registerByName(name);
  expect(register, name).not.toBe(noRegister);
  const i = info.registers.subarray(0, info.registerCount).indexOf(register);
  return i < 0 ? Access.none : info.registerAccess[i];
}

function registersOf(hex: string, init?: DecoderOptionsInit): string {
  read(hex, init);
  return Array.from(info.registers.subarray(0, info.registerCount), registerName).sort().join(' ');
}

test('a write to a 32-bit register is one to the 64-bit register in 64-bit mode', () => {
  read('83c004'); // add eax, 4
  expect(access('eax')).toBe(Access.read);
  expect(access('rax')).toBe(Access.write);
  read('83c004', { mode: 32 });
  expect(access('eax')).toBe(Access.readWrite);
  read('6683c004'); // add ax, 4
  expect(access('ax')).toBe(Access.readWrite);
  expect(info.registerCount).toBe(1);
});

test('VEX and EVEX clear what is above XMM, SSE does not', () => {
  read('c5f058c2'); // vaddps xmm0, xmm1, xmm2
  expect(access('zmm0')).toBe(Access.write);
  expect(access('xmm1')).toBe(Access.read);
  read('0f58c2'); // addps xmm0, xmm2
  expect(access('xmm0')).toBe(Access.readWrite);
});

test('merging reads the destination, zeroing does not', () => {
  read('62f1744958c2'); // vaddps zmm0 {k1}, zmm1, zmm2
  expect(access('zmm0')).toBe(Access.readConditionalWrite);
  expect(access('k1')).toBe(Access.read);
  read('62f174c958c2'); // vaddps zmm0 {k1}{z}, zmm1, zmm2
  expect(access('zmm0')).toBe(Access.write);
  read('62f1740958c2'); // vaddps xmm0 {k1}, xmm1, xmm2: the upper part is cleared
  expect(access('xmm0')).toBe(Access.read);
  expect(access('zmm0')).toBe(Access.write);
  read('62f17c491100'); // vmovups [rax] {k1}, zmm0
  expect(info.memoryAccess[0]).toBe(Access.conditionalWrite);
});

test('memory operands: address, size, broadcast', () => {
  read('648b44d804'); // mov eax, fs:[rax+rbx*8+4]
  expect(info.memoryCount).toBe(1);
  expect(registerName(info.memorySegment[0])).toBe('fs');
  expect(registerName(info.memoryBase[0])).toBe('rax');
  expect(registerName(info.memoryIndex[0])).toBe('rbx');
  expect(info.memoryScale[0]).toBe(3);
  expect(info.memoryDisplacement[0]).toBe(4);
  expect(info.memorySize[0]).toBe(4);
  expect(info.memoryAccess[0]).toBe(Access.read);
  expect(info.memoryAddressSize[0]).toBe(64);
  expect(info.memoryOperand[0]).toBe(1);
  expect(access('fs')).toBe(Access.read);
  read('62f174585800'); // vaddps zmm0, zmm1, dword [rax]{1to16}
  expect(info.memorySize[0]).toBe(4);
  expect(registersOf('8b05ffffffff')).toBe('rax'); // mov eax, [rip-1]
  expect(registerName(info.memoryBase[0])).toBe('rip');
  expect(info.memoryDisplacementHigh[0]).toBe(-1);
});

test('LEA uses the address registers as wide as its destination', () => {
  expect(registersOf('8d04c8')).toBe('eax ecx rax'); // lea eax, [rax+rcx*8]
  expect(info.memoryCount).toBe(0);
});

test('a gather has a vector index and one element per place of the destination', () => {
  read('62f27d4992048a'); // vgatherdps zmm0 {k1}, [rdx+zmm1*4]
  expect(registerName(info.memoryIndex[0])).toBe('zmm1');
  expect(info.memoryVectorIndex[0]).toBe(32);
  expect(info.memorySize[0]).toBe(4);
  expect(access('k1')).toBe(Access.readWrite);
  const element = new MemoryElement();
  memoryElement(instruction, 1, element);
  expect(element).toMatchObject({ kind: ElementKind.float, elementBits: 32, count: 16 });
});

test('string instructions: REP makes everything conditional', () => {
  read('a4'); // movsb
  expect(access('rsi')).toBe(Access.readWrite);
  expect(info.memorySize[0]).toBe(1);
  read('f3a4');
  expect(access('rcx')).toBe(Access.readConditionalWrite);
  expect(access('rdi')).toBe(Access.conditionalRead | Access.conditionalWrite);
  expect(info.memorySize[0]).toBe(0);
  expect(isString(instruction.encoding)).toBe(true);
});

test('the stack', () => {
  read('50'); // push rax
  expect(stackPointerIncrement(instruction)).toBe(-8);
  expect(info.memoryDisplacement[0]).toBe(-8);
  expect(registerName(info.memorySegment[0])).toBe('ss');
  expect(info.memoryOperand[0]).toBe(-1);
  read('c20800'); // ret 8
  expect(stackPointerIncrement(instruction)).toBe(16);
  expect(controlFlow(instruction.encoding)).toBe(ControlFlow.return);
  expect(endsBlock(instruction.encoding)).toBe(true);
  read('8f442408'); // pop [rsp+8]: the address counts from the incremented RSP
  expect(info.memoryDisplacement[0]).toBe(16);
  read('c8100003'); // enter 16, 3
  expect(stackPointerIncrement(instruction)).toBe(-48);
  expect(info.memoryCount).toBe(6);
  read('c8ffff1f'); // the deepest
  expect(info.memoryCount).toBe(62);
  read('61', { mode: 32 }); // popad skips the slot of ESP
  expect(info.memoryCount).toBe(7);
});

test('flags by instruction: counts, idioms for zero, no-flags', () => {
  read('c1e000'); // shl eax, 0
  expect(info.flagsWritten | info.flagsUndefined).toBe(0);
  expect(flagsWritten(instruction.encoding)).not.toBe(0);
  expect(flagsModified(instruction.encoding) & Flag.overflow).toBe(Flag.overflow);
  read('c1e001'); // shl eax, 1
  expect(info.flagsWritten & Flag.overflow).toBe(Flag.overflow);
  read('c1e002');
  expect(info.flagsUndefined).toBe(Flag.overflow | Flag.auxiliaryCarry);
  expect(flagsUndefined(instruction.encoding)).toBe(Flag.overflow | Flag.auxiliaryCarry);
  read('c0d00a'); // rcl al, 10: rotates by one, but OF counts the masked count
  expect(info.flagsUndefined).toBe(Flag.overflow);
  read('c0d009'); // rcl al, 9: rotates by none
  expect(info.flagsWritten | info.flagsUndefined | info.flagsRead).toBe(0);
  read('31c0'); // xor eax, eax
  expect(access('eax')).toBe(Access.none);
  expect(info.flagsSet).toBe(Flag.zero | Flag.parity);
  expect(info.flagsCleared).toBe(Flag.overflow | Flag.sign | Flag.carry);
  expect(info.flagsUndefined).toBe(Flag.auxiliaryCarry);
  read('62f47c0c01c8'); // {nf} add eax, ecx
  expect(info.flagsWritten).toBe(0);
  read('62f47c0801c8'); // {evex} add eax, ecx
  expect(info.flagsWritten).not.toBe(0);
});

test('APX: a new destination is written as a whole', () => {
  read('62f47c1800c8'); // add al, al, cl
  expect(access('rax')).toBe(Access.write);
  expect(access('al')).toBe(Access.read);
});

test('properties of an encoding', () => {
  read('0f84feffffff'); // je
  expect(conditionCode(instruction.encoding)).toBe(ConditionCode.e);
  expect(controlFlow(instruction.encoding)).toBe(ControlFlow.conditionalJump);
  expect(endsBlock(instruction.encoding)).toBe(false);
  read('0f30'); // wrmsr
  expect(privilege(instruction.encoding)).toBe(Privilege.supervisor);
  expect(isPrivileged(instruction.encoding)).toBe(true);
  expect(traits(instruction.encoding) & Trait.serializingIntel).not.toBe(0);
  read('0f31'); // rdtsc
  expect(privilege(instruction.encoding)).toBe(Privilege.controlled);
  expect(isPrivileged(instruction.encoding)).toBe(false);
  read('e410'); // in al, 10h
  expect(privilege(instruction.encoding)).toBe(Privilege.ioPrivilege);
  read('37', { mode: 32 }); // aaa
  expect(modes(instruction.encoding)).toBe(
    Mode.real | Mode.virtual8086 | Mode.protected | Mode.compatibility,
  );
  read('f00118'); // lock add [rax], ebx
  expect(isLockable(instruction.encoding)).toBe(true);
  read('d9f2'); // fptan
  expect(fpuTopIncrement(instruction.encoding)).toBe(-1);
  expect(fpuIsConditional(instruction.encoding)).toBe(true);
  read('62f1740958c2');
  expect(cpuidFeatures(instruction.encoding)).toEqual(['AVX512VL', 'AVX512F']);
  expect(cpuidFeatures(instruction.encoding)).toBe(cpuidFeatures(instruction.encoding));
  expect(exceptionClass(instruction)).toBe('E2');
});

test('registers that share bits', () => {
  const named = registerByName;
  expect(registerName(fullRegister(named('ah')))).toBe('rax');
  expect(registerName(fullRegister(named('spl')))).toBe('rsp');
  expect(registerName(fullRegister(named('ymm31')))).toBe('zmm31');
  expect(registerName(fullRegister(named('st(1)')))).toBe('st(1)');
  expect(overlap(named('ah'), named('al'))).toBe(false);
  expect(overlap(named('ah'), named('ax'))).toBe(true);
  expect(overlap(named('al'), named('cl'))).toBe(false);
  read('83c004'); // add eax, 4
  expect(accessTo(info, named('ax'))).toBe(Access.readWrite);
  expect(accessTo(info, named('ecx'))).toBe(Access.none);
});

test('what is no instruction uses nothing', () => {
  expect(decode(Uint8Array.of(0x06), 0, new DecoderOptions(), instruction)).toBe(DecodeStatus.invalid);
  readInfo(instruction, info);
  expect([info.registerCount, info.memoryCount, info.flagsRead, info.flagsWritten]).toEqual([0, 0, 0, 0]);
  expect(controlFlow(0)).toBe(ControlFlow.exception);
  expect(fpuTopIncrement(0)).toBe(0);
  expect(cpuidFeatures(0)).toEqual([]);
});

test('iced-x86 says the same of every encoding that it has', () => {
  const wrong: string[] = [];
  expect(compareProperties((what) => wrong.push(what))).toBeGreaterThan(4600);
  expect(wrong.slice(0, 10)).toEqual([]);
});

test('iced-x86 says the same of what instructions use: samples of every encoding', {
  timeout: 60_000,
}, () => {
  const wrong: string[] = [];
  let compared = 0;
  for (const [pair, buffer] of sampleBuffers(2)) {
    compared += compareInfo(buffer, 16, pair, (offset, what) =>
      wrong.push(
        `${pair.ours.mode} ${Buffer.from(buffer.subarray(offset, offset + 15)).toString('hex')} ${what}`,
      ),
    );
  }
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(compared).toBeGreaterThan(200_000);
});

test.each([64, 32, 16] as const)(
  'iced-x86 says the same of what instructions use: random bytes, %i-bit',
  (mode) => {
    const wrong: string[] = [];
    const pair = oracleOptions(mode);
    let compared = 0;
    randomStrings(mode, 100_000, 8086 + mode, (buffer, stride) => {
      compared += compareInfo(buffer, stride, pair, (offset, what) =>
        wrong.push(`${Buffer.from(buffer.subarray(offset, offset + 15)).toString('hex')} ${what}`),
      );
    });
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(compared).toBeGreaterThan(30_000);
  },
);

/** The file's head tells how it was made. */
test('Intel XED says the same of what iced-x86 lacks', () => {
  const lines = readFileSync(new URL('vectors/xed-info.txt', import.meta.url), 'utf8').split('\n');
  const wrong: string[] = [];
  let compared = 0;
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue;
    const [input, ...expected] = line.split(' | ');
    read(input.slice(3), { mode: Number(input.slice(0, 2)) as 64, enable: ['3dnow'] });
    const ours = summary(info).split(' | ');
    if (expected[2] === '-') ours[2] = '-';
    if (ours.join(' | ') !== expected.join(' | ')) wrong.push(`${line}: ${ours.join(' | ')}`);
    compared++;
  }
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(compared).toBeGreaterThan(6000);
});
