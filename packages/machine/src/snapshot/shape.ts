import { columnName } from './value.ts';

/**
 * Compares a state that was read with one that the same unit saves now: properties, kinds of values, versions. Lengths of arrays may differ.
 *
 * @returns what is wrong, or undefined
 */
export function shapeMismatch(own: unknown, read: unknown, place = ''): ShapeMismatch | undefined {
  const wanted = kindOf(own);
  const kind = kindOf(read);
  // What may be there or not is null where it is not.
  if (wanted === 'null' || kind === 'null') return undefined;
  if (wanted !== kind) return { text: `${place || 'it'} is ${kind} instead of ${wanted}`, isVersion: false };
  if (Array.isArray(own) && Array.isArray(read)) {
    if (own.length === 0) return undefined;
    for (const [i, element] of read.entries()) {
      const mismatch = shapeMismatch(own[Math.min(i, own.length - 1)], element, `${place}[${i}]`);
      if (mismatch !== undefined) return mismatch;
    }
    return undefined;
  }
  if (kind !== 'an object') return undefined;
  const [owned, found] = [own, read] as [Record<string, unknown>, Record<string, unknown>];
  if ('version' in owned && owned.version !== found.version)
    return {
      text: `${place} version ${found.version}; version ${owned.version} is understood`,
      isVersion: true,
    };
  for (const [name, property] of Object.entries(owned)) {
    if (property === undefined) continue;
    const where = place === '' ? name : `${place}.${name}`;
    if (!Object.hasOwn(found, name)) return { text: `${where} is missing`, isVersion: false };
    const mismatch = shapeMismatch(property, found[name], where);
    if (mismatch !== undefined) return mismatch;
  }
  return undefined;
}

interface ShapeMismatch {
  readonly text: string;
  readonly isVersion: boolean;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (ArrayBuffer.isView(value)) return `a ${columnName(value)}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
