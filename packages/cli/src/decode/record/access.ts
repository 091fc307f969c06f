import type { Instruction } from '@nest86/decoder';
import { Trait, traits } from '@nest86/decoder/info';
import { reference } from '@nest86/decoder/reference';

const words: Readonly<Record<string, readonly string[]>> = {
  r: ['read'],
  w: ['write'],
  rw: ['read', 'write'],
  rcw: ['read', 'conditionalWrite'],
  cr: ['conditionalRead'],
  cw: ['conditionalWrite'],
  'cw+z': ['conditionalWrite'],
  a: ['addressOnly'],
  n: [],
};

/** Elements that an opmask leaves out are kept, unless the instruction says that they become zero or come from elsewhere. */
const ignoresOldElements = Trait.impliedZeroing | Trait.opmaskSelects;

/**
 * How an instruction accesses its operands, by the instruction table (isa/README.md, "operands"). Unlike `readInfo` it tells
 * operands apart that are the same register, as in `add eax, eax`.
 */
export function operandAccesses(instruction: Instruction): (readonly string[])[] {
  const { encoding, opmask, zeroing, modrm } = instruction;
  const row = reference(encoding);
  if (row === undefined || row.operands === '') return [];
  const isMerging = opmask !== 0 && zeroing === 0 && (traits(encoding) & ignoresOldElements) === 0;
  return row.operands.split(' ').map((operand, index) => {
    // The place may hold a colon of its own: [ES:rDI]:w:u8.
    const [, code = 'n'] = /^(?:\[[^\]]*\]|[^:]*):([^:]*)/.exec(operand) ?? [];
    // w/rw: what a load from memory overwrites, a move between registers changes in part.
    const access = words[code === 'w/rw' ? (modrm < 0xc0 ? 'w' : 'rw') : code] ?? [];
    if (!isMerging || index > 0) return access;
    return access.map((word) => (word === 'write' ? 'conditionalWrite' : word));
  });
}
