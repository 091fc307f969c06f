import type { Instruction } from '@nest86/decoder';
import type { CodeMode } from './code-mode.ts';
import type { Recipe } from './recipe.ts';

/** Recipes that are kept; then all are forgotten. */
const capacity = 8192;
/** Twice as many places, so that chains stay short. */
const places = 2 * capacity;

/**
 * Recipes by everything of an instruction that its shape depends on, as three numbers: a map by text or objects would cost more than the rest of the
 * translation.
 */
export class RecipeCache {
  /** Three words of the key, and the recipe's number from 1 on, or 0. */
  private readonly table = new Int32Array(places * 4);
  private readonly recipes: Recipe[] = [];
  /** By encoding: the shape depends on the immediate's value. */
  private readonly hasConstant = new Uint8Array(1 << 14);
  /** Word of the {@link table} where the last key is, or may be put. */
  private place = 0;

  find(instruction: Instruction, mode: CodeMode): Recipe | undefined {
    this.locate(instruction, mode);
    const number = this.table[this.place + 3];
    return number === 0 ? undefined : this.recipes[number - 1];
  }

  add(instruction: Instruction, mode: CodeMode, recipe: Recipe): void {
    const { operands } = recipe.shape;
    if (operands.some((operand) => operand.kind === 'immediate' && operand.value !== undefined))
      this.hasConstant[instruction.encoding] = 1;
    if (this.recipes.length === capacity) this.clear();
    this.locate(instruction, mode);
    this.recipes.push(recipe);
    this.table[this.place + 3] = this.recipes.length;
  }

  clear(): void {
    this.table.fill(0);
    this.recipes.length = 0;
  }

  private locate(instruction: Instruction, mode: CodeMode): void {
    const { table } = this;
    const { encoding } = instruction;
    const first = firstWord(instruction);
    const second = this.hasConstant[encoding] === 0 ? 0 : instruction.immediate;
    const third = mode.shapeId;
    let hash = Math.imul(first ^ Math.imul(third, 0x9e3779b1), 0x85ebca6b) ^ Math.imul(second, 0xc2b2ae35);
    hash ^= hash >>> 15;
    for (let at = (hash & (places - 1)) * 4; ; at = (at + 4) & (places * 4 - 1)) {
      this.place = at;
      if (table[at + 3] === 0) {
        table[at] = first;
        table[at + 1] = second;
        table[at + 2] = third;
        return;
      }
      if (table[at] === first && table[at + 1] === second && table[at + 2] === third) return;
    }
  }
}

/** Encoding 13:0, operand size 15:14, address size 17:16, vector length 19:18, segment 22:20, REP 24:23, form of the address 27:25, in SS 28. */
function firstWord(instruction: Instruction): number {
  const { modrm, base, index } = instruction;
  let word =
    instruction.encoding |
    ((instruction.operandSize >> 5) << 14) |
    ((instruction.addressSize >> 5) << 16) |
    (instruction.vectorLength << 18) |
    (instruction.segmentOverride << 20) |
    (((instruction.prefixes >> 1) & 3) << 23);
  if (modrm >= 0xc0) word |= 1 << 25;
  else if (modrm >= 0) {
    word |= (index === 0 ? 2 : 3 + instruction.scale) << 25;
    // SP, BP and their wider forms are the registers 4 and 5 of their classes.
    if ((base & 31) === 4 || (base & 31) === 5) word |= 1 << 28;
  }
  return word;
}
