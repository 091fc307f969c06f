// README examples: the first code block after `<!-- example -->`. A line of it that ends in `// → text` (sh: `# → text`)
// promises that the line `text` is printed, and in this order.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';

/** The example of an unpacked package: `{ language, code, promised }`. */
export function readExample(unpacked) {
  const match = /<!-- example -->\s*```(\w+)\n([\s\S]*?)```/.exec(
    readFileSync(join(unpacked, 'README.md'), 'utf8'),
  );
  if (!match) throw new Error('README.md has no code block after `<!-- example -->`');
  const [, language, code] = match;
  if (!['ts', 'js', 'sh'].includes(language))
    throw new Error(`the example is ${language}; it may be ts, js or sh`);
  const promised = [...code.matchAll(/(?:\/\/|#) → (.*)$/gm)].map(([, text]) => text.trim());
  if (promised.length === 0) throw new Error('its example promises nothing');
  return { language, code, promised };
}

/** A ts or js example as what node and browsers run. */
export const asJavaScript = ({ code }) => transformSync(code, { loader: 'ts' }).code;

/** Throws unless the promised lines are among the printed ones, in their order. */
export function checkPromises({ promised }, output) {
  const printed = output.split('\n').map((line) => line.trim());
  let from = 0;
  for (const text of promised) {
    const at = printed.indexOf(text, from);
    if (at < 0) throw new Error(`its example promises the line \`${text}\`, but printed:\n${output}`);
    from = at + 1;
  }
}
