/**
 * Registers are numbers: `class << 5 | number`, 0 means none. The number is the one the encoding uses, so
 * RBP is 5 and R8 is 8 in every class. AH, CH, DH and BH share the numbers 4 to 7 with SPL to DIL and
 * therefore have a class of their own.
 */
export type Register = number;

export const RegisterClass = {
  none: 0,
  /** AL CL DL BL SPL BPL SIL DIL R8B…R31B */
  gpr8: 1,
  /** AH CH DH BH, numbers 4 to 7 */
  gpr8high: 2,
  gpr16: 3,
  gpr32: 4,
  gpr64: 5,
  /** ES CS SS DS FS GS */
  segment: 6,
  xmm: 7,
  ymm: 8,
  zmm: 9,
  mask: 10,
  mmx: 11,
  x87: 12,
  control: 13,
  debug: 14,
  test: 15,
  bound: 16,
  tile: 17,
  /** 0 IP, 1 EIP, 2 RIP */
  instructionPointer: 18,
  /** Block scale registers (ACE). */
  blockScale: 19,
} as const;
export type RegisterClass = (typeof RegisterClass)[keyof typeof RegisterClass];

export const noRegister: Register = 0;

export function register(registerClass: number, number: number): Register {
  return (registerClass << 5) | number;
}

export function registerClass(register: Register): number {
  return register >> 5;
}

/** The number that encodings use, 0 to 31. */
export function registerNumber(register: Register): number {
  return register & 31;
}

/** Bytes that a register of each class holds, by class; 0 where it depends on the mode. */
const classSizes = [0, 1, 1, 2, 4, 8, 2, 16, 32, 64, 8, 8, 10, 0, 0, 4, 16, 1024, 0, 0];

/** Size in bytes; 0 for control, debug and instruction pointer registers, whose size depends on the mode. */
export function registerSize(register: Register): number {
  return classSizes[register >> 5];
}

const legacyNames = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const names: string[] = [];

function nameClass(registerClass: number, count: number, name: (number: number) => string): void {
  for (let number = 0; number < count; number++) names[register(registerClass, number)] = name(number);
}

nameClass(RegisterClass.gpr8, 32, (n) => (n < 4 ? `${'acdb'[n]}l` : n < 8 ? `${legacyNames[n]}l` : `r${n}b`));
nameClass(RegisterClass.gpr8high, 8, (n) => (n < 4 ? '' : `${'acdb'[n - 4]}h`));
nameClass(RegisterClass.gpr16, 32, (n) => legacyNames[n] ?? `r${n}w`);
nameClass(RegisterClass.gpr32, 32, (n) => (n < 8 ? `e${legacyNames[n]}` : `r${n}d`));
nameClass(RegisterClass.gpr64, 32, (n) => (n < 8 ? `r${legacyNames[n]}` : `r${n}`));
nameClass(RegisterClass.segment, 6, (n) => `${'ecsdfg'[n]}s`);
nameClass(RegisterClass.xmm, 32, (n) => `xmm${n}`);
nameClass(RegisterClass.ymm, 32, (n) => `ymm${n}`);
nameClass(RegisterClass.zmm, 32, (n) => `zmm${n}`);
nameClass(RegisterClass.mask, 8, (n) => `k${n}`);
nameClass(RegisterClass.mmx, 8, (n) => `mm${n}`);
nameClass(RegisterClass.x87, 8, (n) => `st(${n})`);
nameClass(RegisterClass.control, 16, (n) => `cr${n}`);
nameClass(RegisterClass.debug, 16, (n) => `dr${n}`);
nameClass(RegisterClass.test, 8, (n) => `tr${n}`);
nameClass(RegisterClass.bound, 4, (n) => `bnd${n}`);
nameClass(RegisterClass.tile, 8, (n) => `tmm${n}`);
nameClass(RegisterClass.instructionPointer, 3, (n) => ['ip', 'eip', 'rip'][n]);
nameClass(RegisterClass.blockScale, 8, (n) => `bsr${n}`);

/** Lower-case name as Intel's manuals spell it (`rax`, `r8d`, `st(1)`); undefined for no register. */
export function registerName(register: Register): string {
  return names[register];
}

/** The register of that (lower-case) name, or 0. */
export function registerByName(name: string): Register {
  const found = names.indexOf(name === 'st' ? 'st(0)' : name);
  return name === '' || found < 0 ? noRegister : found;
}
