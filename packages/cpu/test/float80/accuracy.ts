import { answerSize } from './batch.ts';
import { caseSize, errors, judgedSize } from './oracle.ts';

/** Errors of our results in units of the last place; NaN where there is no number to compare. */
export function errorsOf(name: string, cases: Uint8Array, answers: Uint8Array): Float64Array {
  const count = cases.length / caseSize;
  const judged = new Uint8Array(count * judgedSize);
  for (let i = 0; i < count; i++) {
    const at = i * judgedSize;
    const answer = i * answerSize;
    judged.set(cases.subarray(i * caseSize, (i + 1) * caseSize), at);
    judged.set(answers.subarray(answer, answer + 10), at + caseSize);
    judged.set(answers.subarray(answer + 16, answer + 26), at + caseSize + 16);
  }
  return errors(name, judged);
}
