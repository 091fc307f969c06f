import { DecodeStatus, decode, Instruction } from '@nest86/decoder';
import type { Handlers } from '../interpreter/handlers.ts';
import type { CodeMode } from './code-mode.ts';
import { Row, record } from './layout.ts';
import { Recipe } from './recipe.ts';
import { RecipeCache } from './recipe-cache.ts';

/** What became of an instruction. */
export const Written = {
  /** The block goes on behind it. */
  open: 0,
  /** It ends the block itself. */
  closed: 1,
  /** The block ends behind it, and what follows it comes next. */
  last: 3,
  /** The bytes at hand end before the instruction does. */
  truncated: 2,
} as const;

/** Turns one instruction after the other into records. */
export class Translator {
  readonly instruction: Instruction = new Instruction();
  private readonly recipes = new RecipeCache();

  constructor(
    private readonly view: DataView,
    private readonly handlers: Handlers,
  ) {}

  /** Rows have changed their meaning. */
  forgetRows(): void {
    this.recipes.clear();
  }

  /**
   * Writes the record of the instruction at `bytes[at]`; its length is then in `instruction`.
   *
   * @param rec where the record goes
   * @param offset of the instruction in its page
   * @returns one of {@link Written}
   */
  write(rec: number, bytes: Uint8Array, at: number, offset: number, mode: CodeMode): number {
    const { instruction, view } = this;
    const status = decode(bytes, at, mode.options, instruction);
    if (status === DecodeStatus.truncated) return Written.truncated;
    view.setInt32(rec + 4, 0, true);
    view.setInt32(rec + 8, 0, true);
    view.setInt32(rec + 12, 0, true);
    // Of an invalid instruction, all bytes that were looked at: others may make it valid.
    const length = Math.max(1, instruction.length);
    view.setUint16(rec + record.position, offset | (length << 12), true);
    const isThere = status === DecodeStatus.ok && mode.instructions.has(instruction);
    const recipe = isThere ? (this.recipes.find(instruction, mode) ?? this.newRecipe(mode)) : undefined;
    if (recipe === undefined) {
      view.setUint16(rec + record.handler, Row.service, true);
      return Written.closed;
    }
    view.setUint16(rec + record.handler, recipe.row, true);
    recipe.fill(view, rec, instruction, offset);
    if (recipe.isClosed) return Written.closed;
    return recipe.isLast ? Written.last : Written.open;
  }

  private newRecipe(mode: CodeMode): Recipe | undefined {
    const { instruction, handlers } = this;
    const recipe = Recipe.of(instruction, mode, (name) => handlers.has(name));
    if (recipe === undefined) return undefined;
    recipe.row = handlers.rowOf(recipe.shape);
    this.recipes.add(instruction, mode, recipe);
    return recipe;
  }
}
