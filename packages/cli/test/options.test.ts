import { describe, expect, test } from 'vitest';
import { UsageError } from '../src/errors.ts';
import { parseArgv } from '../src/options/argv.ts';
import { keyValues, splitItems } from '../src/options/key-values.ts';
import { editDistance, nearest } from '../src/options/nearest.ts';
import { flag, optional, repeated, withDefault } from '../src/options/schema.ts';
import { address, byteCount, choice, integer, names, text } from '../src/options/values.ts';

describe('values', () => {
  test.each([
    ['0', 0],
    ['4096', 4096],
    ['0x1000', 4096],
    ['64K', 65536],
    ['64k', 65536],
    ['2G', 2 ** 31],
    ['0x10M', 2 ** 24],
  ])('byteCount %s', (given, expected) => expect(byteCount(given)).toBe(expected));

  test.each(['', 'K', '-1', '1.5', '1KB', '0x', '1 K', '9999999T', '1e3'])(
    'byteCount refuses "%s"',
    (given) => expect(() => byteCount(given)).toThrow('such as 4096, 0x1000, 64K or 2G is allowed'),
  );

  test('address takes all of 64 bits and no more', () => {
    expect(address('0xffffffffffffffff')).toBe(2n ** 64n - 1n);
    expect(() => address('0x10000000000000000')).toThrow('below 2 to the power of 64');
    expect(() => address('7c00h')).toThrow('such as 4096 or 0x1000');
  });

  test('integer has bounds', () => {
    expect(integer(1, 64)('64')).toBe(64);
    expect(() => integer(1, 64)('65')).toThrow('a whole number from 1 to 64 is allowed');
    expect(() => integer(0)('-1')).toThrow('a whole number from 0 is allowed');
  });

  test('choice does not take names of Object.prototype', () => {
    const parse = choice({ a: 1, b: 2, c: 3 });
    expect(parse('b')).toBe(2);
    expect(() => parse('constructor')).toThrow('a, b or c is allowed');
  });

  test('names splits at commas and guesses', () => {
    const parse = names(['lzcnt', 'tzcnt', 'pause']);
    expect(parse('lzcnt, pause')).toEqual(['lzcnt', 'pause']);
    expect(() => parse('lzcnt,paus')).toThrow(
      'there is no "paus": did you mean pause? lzcnt, tzcnt, pause are allowed',
    );
  });
});

describe('nearest', () => {
  test.each([
    ['', '', 0],
    ['abc', '', 3],
    ['abc', 'abd', 1],
    ['abc', 'acb', 1],
    ['syntax', 'sintax', 1],
    ['kitten', 'sitting', 3],
  ])('distance of %j and %j', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  test('proposes only what is close', () => {
    expect(nearest('sintax', ['stats', 'syntax'])).toBe('syntax');
    expect(nearest('frobnicate', ['stats', 'syntax'])).toBeUndefined();
    expect(nearest('decode'.repeat(1000), ['decode'])).toBeUndefined();
  });

  test('a beginning counts if it fits one only', () => {
    expect(nearest('verb', ['verbose', 'vendor'])).toBe('verbose');
    expect(nearest('sec', ['section', 'seconds'])).toBeUndefined();
  });
});

describe('key=value lists', () => {
  const disk = keyValues({
    head: 'FILE',
    keys: { format: choice({ raw: 'raw', qcow2: 'qcow2' }), size: byteCount },
  });
  const cpu = keyValues({ head: 'MODEL', keys: { level: integer(1) }, features: true });

  test('head alone', () => expect(disk('a.img')).toEqual({ head: 'a.img', values: {}, features: new Map() }));

  test('values are parsed', () => {
    const { head, values } = disk('a.img,format=raw,size=64K');
    const size: number | undefined = values.size;
    expect([head, values.format, size]).toEqual(['a.img', 'raw', 65536]);
  });

  test('two commas are one that belongs to the item', () => {
    expect(splitItems('a,,b,c')).toEqual(['a,b', 'c']);
    expect(disk('my,,disk.img,format=raw').head).toBe('my,disk.img');
    expect(text('a text')('a,b')).toBe('a,b');
  });

  test('features: the last one counts', () => {
    const { head, features, values } = cpu('host,+avx2,-vmx,level=13,-avx2');
    expect(head).toBe('host');
    expect([...features]).toEqual([
      ['avx2', false],
      ['vmx', false],
    ]);
    expect(values.level).toBe(13);
  });

  test.each([
    ['', 'FILE is needed first, as in FILE,format=…,size=…'],
    ['a,', 'an item is empty; FILE,format=…,size=… is allowed'],
    ['a,fromat=raw', 'there is no key "fromat"; did you mean format? FILE,format=…,size=… is allowed'],
    ['a,zzz=1', 'there is no key "zzz"; format or size is allowed'],
    ['a,__proto__=1', 'there is no key "__proto__"'],
    ['a,format', 'format needs a value: format=…'],
    ['a,format=raw,format=raw', 'format is given twice'],
    ['a,format=vmdk', 'format=vmdk: raw or qcow2 is allowed'],
    ['a,+avx', 'there is no key "+avx"'],
  ])('refuses "%s"', (given, message) => expect(() => disk(given)).toThrow(message));
});

describe('argv', () => {
  const schema = {
    count: withDefault(7, integer(0), 'N', { help: '' }),
    name: optional(text('a name'), 'NAME', { help: '', short: 'n' }),
    quiet: flag({ help: '', short: 'q' }),
    item: repeated(names(['a', 'b', 'c']), 'ITEM', { help: '' }),
  };

  test('defaults', () =>
    expect(parseArgv(schema, [])).toEqual({
      values: { count: 7, name: undefined, quiet: false, item: [] },
      positionals: [],
    }));

  test('all forms', () =>
    expect(
      parseArgv(schema, ['-q', '--count=0x10', 'x', '-nfoo', '--item', 'a,b', '--item', 'c', '--', '--y']),
    ).toEqual({
      values: { count: 16, name: 'foo', quiet: true, item: ['a', 'b', 'c'] },
      positionals: ['x', '--y'],
    }));

  test('the last one counts', () =>
    expect(parseArgv(schema, ['--count', '1', '--count', '2']).values.count).toBe(2));

  test.each([
    [['--cuont', '3'], 'no such option: --cuont; did you mean --count?'],
    [['--xyzzy'], 'no such option: --xyzzy; there are --count, --name, --quiet, --item'],
    [['-x'], 'no such option: -x; there are --count'],
    [['--count'], '--count needs a value: --count N'],
    [['--count', '--quiet'], '--count needs a value: --count N'],
    [['--count', '-q'], '--count needs a value: --count N'],
    [['--count', '-3'], '--count -3: a whole number from 0 is allowed'],
    [['--quiet=yes'], '--quiet is a switch and takes no value (it was given "yes")'],
    [['--name', ''], '--name : a name is needed'],
    [['--count', 'a\nb'], '--count a b: a whole number'],
  ])('refuses %j', (argv, message) => {
    expect(() => parseArgv(schema, argv)).toThrow(UsageError);
    expect(() => parseArgv(schema, argv)).toThrow(message);
  });
});
