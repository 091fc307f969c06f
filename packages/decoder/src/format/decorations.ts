import type { Instruction } from '../instruction.ts';
import { Leaf } from '../leaf.ts';
import { RegisterClass } from '../registers.ts';
import { leaves, memoryTypeSizes } from '../tables.ts';
import { Common } from './bits.ts';
import type { Theme } from './theme.ts';

const maskRegisters = RegisterClass.mask << 5;

/** EVEX's additions to operands. */
export class Decorations {
  /** `{k1}` by number; k0 means none. */
  readonly opmasks: readonly string[];
  readonly zeroing: string;
  /** `{1to8}` by the number of elements. */
  readonly broadcasts: readonly string[];
  /** Embedded rounding by EVEX.L'L. */
  readonly roundings: readonly string[];
  readonly sae: string;
  /** APX: what stands in front of the mnemonic. */
  readonly noFlags: string;
  readonly evex: string;
  /** APX: `{dfv=of,cf} ` by `defaultFlags`. */
  readonly defaultFlags: readonly string[];

  constructor(theme: Theme, roundings: readonly string[], registerPrefix = '') {
    const decorator = (text: string) => theme.token('decorator', text);
    this.opmasks = Array.from({ length: 8 }, (_, number) =>
      number === 0 ? '' : decorator(`{${registerPrefix}k${number}}`),
    );
    this.zeroing = decorator('{z}');
    this.broadcasts = Array.from({ length: 33 }, (_, count) => decorator(`{1to${count}}`));
    this.roundings = roundings.map(decorator);
    this.sae = decorator('{sae}');
    this.noFlags = decorator('{nf}') + theme.space;
    this.evex = decorator('{evex}') + theme.space;
    this.defaultFlags = Array.from({ length: 16 }, (_, flags) => {
      const names = ['of', 'sf', 'zf', 'cf'].filter((_, i) => (flags >> (3 - i)) & 1);
      return decorator(`{dfv=${names.join()}}`) + theme.space;
    });
  }
}

/** APX: in front of the mnemonic, what the mnemonic does not say. The words are LLVM's. */
export function formText(decorations: Decorations, instruction: Instruction, common: number): string {
  if (instruction.noFlags !== 0) return decorations.noFlags;
  return (common & Common.promoted) !== 0 ? decorations.evex : '';
}

/** Opmask and zeroing, behind the destination. */
export function maskText(decorations: Decorations, instruction: Instruction): string {
  const mask = decorations.opmasks[instruction.opmask];
  return instruction.zeroing !== 0 ? mask + decorations.zeroing : mask;
}

/** Logarithm of the size in bytes of the element that is broadcast. */
export function elementShift(encoding: number): number {
  return (leaves[encoding] >> Leaf.broadcastShift) & 3;
}

/** `{1to8}` behind memory of which one element is used for all. */
export function broadcastText(decorations: Decorations, instruction: Instruction, spec: number): string {
  return decorations.broadcasts[memoryTypeSizes[(spec >> 10) & 255] >> elementShift(instruction.encoding)];
}

/** Embedded rounding or suppressed exceptions; empty if the instruction has neither. */
export function roundingText(decorations: Decorations, instruction: Instruction, common: number): string {
  if (instruction.broadcast === 0 || instruction.modrm < 0xc0) return '';
  if ((common & Common.rounding) !== 0) return decorations.roundings[instruction.rounding];
  return (common & Common.sae) !== 0 ? decorations.sae : '';
}

/** Register of the opmask, where it is an operand. */
export function opmaskRegister(instruction: Instruction): number {
  return maskRegisters | instruction.opmask;
}
