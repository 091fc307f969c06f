import { describe, expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';

describe('nest86 cpuid', () => {
  test('--cpu help lists the models, and says which is the default', async () => {
    const { code, stdout } = await nest86(['cpuid', '--cpu', 'help']);
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual([
      'x86-64-v3',
      'x86-64-v2',
      'skylake-server',
      'alder-lake',
      'zen2',
      'zen4',
      'max',
      '',
    ]);
    expect(stdout).toMatch(/^x86-64-v3 .* \(default\)$/m);
    expect((await nest86(['run', '--cpu', 'help'])).stdout).toBe(stdout);
  });

  test('in words: what a model is, and what it lacks here', async () => {
    const { stdout } = await nest86(['cpuid', '--cpu', 'skylake-server,-avx', '--smp', '3']);
    expect(stdout).toContain('signature     50654h: GenuineIntel, family 6h, model 55h, stepping 4;');
    expect(stdout).toContain('topology      1 package of 3 cores of 1 thread; APIC ids 0 1 2\n');
    expect(stdout).toContain('L2 unified 1024 KiB, 16 ways');
    const words = stdout.replace(/\s+/g, ' ');
    expect(words).toMatch(/taken away .*avx2 \(needs avx\)/);
    expect(words).toMatch(/left out .*avx512f .*this machine does not have them/);
    expect(/features (.*) taken away/.exec(words)?.[1]).not.toContain('avx');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    const zen = (await nest86(['cpuid', '--cpu', 'zen4'])).stdout;
    expect(zen).toContain('signature     A10F11h: AuthenticAMD, family 19h, model 11h, stepping 1;');
  });

  test('--raw is what `cpuid -r` prints, processor by processor', async () => {
    const { stdout } = await nest86(['cpuid', '--cpu', 'alder-lake', '--smp', '2', '--raw']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('CPU 0:');
    expect(lines[1]).toBe('   0x00000000 0x00: eax=0x00000020 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69');
    const second = lines.slice(lines.indexOf('CPU 1:'));
    expect(second).toContain(
      '   0x0000000b 0x01: eax=0x00000001 ebx=0x00000002 ecx=0x00000201 edx=0x00000001',
    );
    expect(second.at(-1)).toBe(
      '   0x80000008 0x00: eax=0x00003027 ebx=0x00000000 ecx=0x00000000 edx=0x00000000',
    );
    for (const line of lines)
      expect(line).toMatch(
        /^(CPU \d+:| {3}0x[\da-f]{8} 0x[\da-f]{2}: eax=0x[\da-f]{8} ebx=0x[\da-f]{8} ecx=0x[\da-f]{8} edx=0x[\da-f]{8})$/,
      );
  });

  test('keys change what they name', async () => {
    const { stdout } = await nest86(['cpuid', '--cpu', 'alder-lake,microcode=0x2d,phys-bits=46']);
    expect(stdout).toContain('microcode 2Dh');
    expect(stdout).toContain('46 bits physical');
  });

  test.each([
    [['--cpu', 'zen9'], 'there is no model "zen9": did you mean zen2?'],
    [['--cpu', 'zen4,+avx512f'], '--cpu zen4,+avx512f: +avx512f: this machine does not have it'],
    [['--cpu', 'x86-64-v2,+avx2'], 'avx2 needs avx, which x86-64-v2 does not have here'],
    [['--cpu', 'zen4,phys-bits=64'], 'phys-bits=64: a whole number from 32 to 52 is allowed'],
    [['--smp', '65'], '--smp 65: a whole number from 1 to 64 is allowed'],
    [['zen4'], '"zen4": the model is given by --cpu'],
  ])('%j is refused', async (argv, message) => {
    const { code, stderr } = await nest86(['cpuid', ...argv]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
