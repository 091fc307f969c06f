import { expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';

async function record(bytes: string, ...options: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await nest86(['decode', '--json', '--hex', bytes, ...options]);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

test('add rax, rbx', async () => {
  expect(await record('48 01 d8')).toMatchObject({
    address: '0x0',
    bytes: '48 01 d8',
    length: 3,
    mode: 64,
    mnemonic: 'add',
    text: { intel: 'add rax, rbx', nasm: 'add rax, rbx' },
    reference: { instruction: 'ADD r/m64, r64', opcode: 'o64 01 /r' },
    prefixes: { present: ['rex'], rex: '0x48' },
    encoding: {
      space: 'legacy',
      opcodeMap: 'one-byte',
      opcode: '0x1',
      opcodeOffset: 1,
      w: 1,
      modrm: { mod: 3, reg: 3, rm: 0 },
    },
    operandSize: 64,
    addressSize: 64,
    operands: [
      { kind: 'register', register: 'rax', size: 8, access: ['read', 'write'] },
      { kind: 'register', register: 'rbx', size: 8, access: ['read'] },
    ],
    registers: [
      { register: 'rax', access: ['read', 'write'] },
      { register: 'rbx', access: ['read'] },
    ],
    memory: [],
    flags: {
      read: [],
      written: ['overflow', 'sign', 'zero', 'auxiliaryCarry', 'carry', 'parity'],
      cleared: [],
      set: [],
      undefined: [],
    },
    cpuidFeatures: ['X86-64'],
    controlFlow: { kind: 'next' },
    stackPointerIncrement: 0,
    exceptionClass: null,
    privilege: 'any',
    modes: ['long64'],
  });
});

test('operands that are the same register have each their own access', async () => {
  const accesses = async (bytes: string) =>
    ((await record(bytes)).operands as { access: string[] }[]).map(({ access }) => access.join(' '));
  expect(await accesses('01 c0')).toEqual(['read write', 'read']);
  expect(await accesses('62 f1 7c 49 58 c0')).toEqual(['conditionalWrite', 'read', 'read']);
  expect(await accesses('62 f1 7c c9 58 c0')).toEqual(['write', 'read', 'read']);
  expect(await accesses('a4')).toEqual(['write', 'read']);
  expect(await accesses('48 8d 00')).toEqual(['write', 'addressOnly']);
  expect(await accesses('f3 0f 10 00')).toEqual(['write', 'read']);
  expect(await accesses('f3 0f 10 c0')).toEqual(['read write', 'read']);
});

test('memory, immediate, displacement', async () => {
  const { operands, encoding, memory } = await record('c7 84 8b 80 ff ff ff 78 56 34 12');
  const place = { base: 'rbx', index: 'rcx', scale: 4, displacement: -128 };
  expect(operands).toMatchObject([
    { kind: 'memory', size: 4, access: ['write'], segment: 'ds', ...place, element: { bits: 32, count: 1 } },
    { kind: 'immediate', size: 4, value: '0x12345678' },
  ]);
  expect(encoding).toMatchObject({
    sib: { value: '0x8b', scale: 4, index: 1, base: 3 },
    displacement: { offset: 3, size: 4 },
    immediate: { offset: 7, size: 4 },
  });
  expect(memory).toMatchObject([{ operand: 0, ...place }]);
});

test('implicit registers and memory, stack, control flow', async () => {
  const call = await record('e8 fb ff ff ff', '--address', '0x1000');
  expect(call).toMatchObject({
    operands: [{ kind: 'relative', size: 4, target: '0x1000' }],
    controlFlow: { kind: 'call' },
    stackPointerIncrement: -8,
    memory: [{ implicit: true, access: ['write'], size: 8, base: 'rsp', displacement: -8 }],
  });
  expect(call.registers).toContainEqual({ register: 'rsp', access: ['read', 'write'], implicit: true });
  expect(await record('74 00')).toMatchObject({
    flags: { read: ['zero'] },
    controlFlow: { kind: 'conditionalJump', condition: 'e' },
  });
});

test('imm64 and far pointers keep all their digits', async () => {
  const { operands } = await record('48 b8 88 77 66 55 44 33 22 f1');
  expect(operands).toMatchObject([
    { register: 'rax' },
    { kind: 'immediate', size: 8, value: '0xf122334455667788' },
  ]);
  const far = await record('9a 78 56 34 92 10 00', '--mode', '32');
  expect(far.operands).toMatchObject([{ kind: 'farPointer', selector: '0x10', offset: '0x92345678' }]);
});

test('immediates are as wide as the instruction uses them', async () => {
  const value = async (bytes: string) => ((await record(bytes)).operands as object[]).at(-1);
  expect(await value('48 83 c0 ff')).toMatchObject({ size: 8, value: '0xffffffffffffffff' });
  expect(await value('83 c0 ff')).toMatchObject({ size: 4, value: '0xffffffff' });
  expect(await value('c1 e0 ff')).toMatchObject({ size: 1, value: '0xff' });
});

test('branch targets wrap as the processor does', async () => {
  const target = async (bytes: string, ...options: string[]) => (await record(bytes, ...options)).operands;
  expect(await target('eb fe', '--address', '0xfffffffffffffffe')).toMatchObject([
    { target: '0xfffffffffffffffe' },
  ]);
  expect(await target('eb 10', '--address', '0xfffffffffffffffe')).toMatchObject([{ target: '0x10' }]);
  expect(await target('eb 10', '--address', '0xfffe', '--mode', '16')).toMatchObject([{ target: '0x10' }]);
  expect(await target('eb 10', '--address', '0xfffe', '--mode', '32')).toMatchObject([{ target: '0x10010' }]);
});

test('EVEX', async () => {
  expect(await record('62 f1 7c c9 58 c1')).toMatchObject({
    mnemonic: 'vaddps',
    encoding: { space: 'evex', opcodeMap: 1, vectorLength: 512, opmask: 1, zeroing: true, broadcast: false },
    cpuidFeatures: ['AVX512F'],
  });
});

test('several instructions: one record after the other', async () => {
  const { stdout } = await nest86(['decode', '--json', '--hex', '90 c3']);
  expect(stdout.split(/^(?=\{)/m).map((text) => JSON.parse(text).bytes)).toEqual(['90', 'c3']);
});
