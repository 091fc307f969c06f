import type { Expressions, Value } from '@nest86/wasm';
import type { CallLibrary } from '../function.ts';

/*
 * Arithmetic by the host's own instructions, where these give the result and the flags that the library would. WebAssembly rounds to nearest
 * even and shows no flags. What must be excluded:
 *   - operands that are denormal: they raise DE, or are zeros under DAZ;
 *   - results that are NaN (bits are not portable), infinite (overflow, or an operand's), or tiny. The smallest normal number may be a
 *     rounded tiny result, so the result must be above it, or an exact 0;
 *   - an inexact result, unless nobody can see it: PE is set already, PM masks it, and RC is nearest ("silent").
 * DAZ, FTZ and the other masks have no influence on what is left.
 *
 * Inline code (semantics/floating/fast.ts) tests all of that for operands and results that are not 0. What fails goes to a `careful` library function, which knows zeros and
 * finds out by error-free transformations whether the result is exact; only what fails there too is computed by the library proper.
 */

/** What a definition hands to the fast paths. */
export interface FastContext {
  readonly x: Expressions;
  readonly call: CallLibrary;
  /** i32, address of the state block: exceptions are added to its `floatFlags`. */
  readonly state: Value;
  /** i32 */
  readonly mxcsr: Value;
}
