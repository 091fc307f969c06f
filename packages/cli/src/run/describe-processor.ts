import { codeBytes, type ProcessorView } from '@nest86/machine';

const names = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const segments = 'es cs ss ds fs gs'.split(' ');

/** Registers and the bytes at RIP of each processor, as printed when a guest cannot go on. */
export function describeProcessor(processors: readonly ProcessorView[]): string {
  if (processors.length === 1) return describe(processors[0]);
  return processors.map((one, number) => `processor ${number}\n${describe(one)}`).join('');
}

function describe(one: ProcessorView): string {
  const { state, context } = one.processor;
  const lines: string[] = [];
  const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
  const rip = state.getBig('rip');
  lines.push(
    `rip ${hex(rip)}  rflags ${(state.flags >>> 0).toString(16).padStart(8, '0')}  cpl ${state.get('cpl')}`,
  );
  for (let i = 0; i < 16; i += 4)
    lines.push(
      names
        .slice(i, i + 4)
        .map((name, j) => `${name.padEnd(3)} ${hex(state.getBig('gpr', i + j))}`)
        .join('  '),
    );
  const word = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
  lines.push(
    segments
      .map((name, i) => `${name} ${(state.get('segmentSelector', i) & 0xffff).toString(16).padStart(4, '0')}`)
      .join('  '),
  );
  lines.push(
    `cr0 ${word(context.cr0)}  cr2 ${hex(state.getBig('cr2'))}  cr3 ${word(context.cr3High)}${word(context.cr3Low)}  cr4 ${word(context.cr4)}  efer ${word(context.efer)}`,
  );
  const bytes = codeBytes(one, 16);
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  lines.push(`code ${text === '' ? '(not mapped)' : text}`);
  return `${lines.join('\n')}\n`;
}
