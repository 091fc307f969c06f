/**
 * How a register, a piece of memory or an operand is accessed: bits, combined where several apply. Conditional: depends on data, an
 * opmask, a counter of zero, or a flag.
 */
export const Access = {
  none: 0,
  read: 1,
  conditionalRead: 2,
  /** All of it is overwritten; its old value does not matter unless `read` is there too. */
  write: 4,
  conditionalWrite: 8,
  readWrite: 5,
  readConditionalWrite: 9,
  /** Only of operands: an address is computed, but what is there is neither read nor written (LEA, INVLPG, PREFETCH). */
  addressOnly: 16,

  /** Mask: may be read. */
  anyRead: 3,
  /** Mask: may be written. */
  anyWrite: 12,
} as const;

/** Bits of flag masks. Apart from UIF and the x87 condition codes they are flags of RFLAGS, but not at its positions. */
export const Flag = {
  overflow: 1,
  sign: 2,
  zero: 4,
  auxiliaryCarry: 8,
  carry: 16,
  parity: 32,
  direction: 64,
  interrupt: 128,
  alignmentCheck: 256,
  /** UIF, the user interrupt flag. */
  userInterrupt: 512,
  /** Bits C0 to C3 of the x87 status word. */
  c0: 1024,
  c1: 2048,
  c2: 4096,
  c3: 8192,
} as const;

/** Where execution goes on. */
export const ControlFlow = {
  next: 0,
  /** JMP to a known target, near or far. */
  jump: 1,
  /** JMP through a register or memory. */
  jumpIndirect: 2,
  /** Jcc, LOOP, LOOPcc, JCXZ and relatives. */
  conditionalJump: 3,
  /** RET, IRET, SYSRET, SYSEXIT, RSM, UIRET, ERETU … */
  return: 4,
  /** CALL to a known target; also SYSCALL, SYSENTER, VMCALL, VMLAUNCH, VMRUN and others that enter another world and may come back. */
  call: 5,
  callIndirect: 6,
  /** INT n, INT1, INT3, INTO. */
  interrupt: 7,
  /** XBEGIN, which goes to its target when the transaction aborts. */
  transaction: 8,
  /** UD0, UD1, UD2: always raises an exception. */
  exception: 9,
} as const;
export type ControlFlow = (typeof ControlFlow)[keyof typeof ControlFlow];

/** Condition of Jcc, SETcc, CMOVcc, LOOPcc and relatives: 1 + the number that encodings use; 0 none. */
export const ConditionCode = {
  none: 0,
  o: 1,
  no: 2,
  b: 3,
  ae: 4,
  e: 5,
  ne: 6,
  be: 7,
  a: 8,
  s: 9,
  ns: 10,
  p: 11,
  np: 12,
  l: 13,
  ge: 14,
  le: 15,
  g: 16,
  /** Always; of APX's CCMP and CTEST, where it stands in place of P. */
  t: 17,
  /** Never; of CCMP and CTEST, in place of NP. */
  f: 18,
} as const;
export type ConditionCode = (typeof ConditionCode)[keyof typeof ConditionCode];

/** Who may execute an instruction. */
export const Privilege = {
  any: 0,
  /** CPL 0 only. */
  supervisor: 1,
  /** CPL 0, and other levels if a bit of CR4, an MSR or the like allows (RDTSC, RDPMC, CPUID, MONITOR …). */
  controlled: 2,
  /** CPL 3 only (ENCLU). */
  user: 3,
  /** CPL up to IOPL; for ports also others, if the TSS allows (IN, OUT, CLI, STI). */
  ioPrivilege: 4,
  /** Only in system-management mode (RSM). */
  systemManagement: 5,
  /** Only in an unlocked state of the processor (RDUDBG, WRUDBG). */
  unlocked: 6,
} as const;
export type Privilege = (typeof Privilege)[keyof typeof Privilege];

/** Bits of {@link modes}: where an encoding exists. */
export const Mode = {
  real: 1,
  virtual8086: 2,
  /** Protected mode of a processor without or outside long mode, 16-bit and 32-bit code. */
  protected: 4,
  compatibility: 8,
  long64: 16,
} as const;

/** Yes-or-no properties, as bits of {@link traits}. */
export const Trait = {
  /** LOCK is allowed (with a memory destination). */
  lock: 1,
  xacquire: 0x2,
  xrelease: 0x4,
  /** F3 repeats. */
  rep: 0x8,
  /** F3 repeats while equal. */
  repe: 0x10,
  /** F2 repeats while not equal. */
  repne: 0x20,
  /** F2 means BND. */
  bnd: 0x40,
  /** 3E means NOTRACK. */
  notrack: 0x80,
  /** 2E and 3E are branch hints. */
  branchHint: 0x100,
  serializingIntel: 0x200,
  serializingAmd: 0x400,
  /** Always leaves a VMX guest. */
  vmxExit: 0x800,
  /** Leaves a VMX guest if the VMCS says so. */
  vmxMayExit: 0x1000,
  svmExit: 0x2000,
  svmMayExit: 0x4000,
  /** Accesses ports. */
  io: 0x8000,
  /** Memory operands must be aligned. */
  aligned: 0x10000,
  nop: 0x20000,
  /** Does nothing on today's processors; may get a meaning. */
  reservedNop: 0x40000,
  nonTemporal: 0x80000,
  prefetch: 0x100000,
  /** Saves or loads more state than the register uses list (XSAVE, FXRSTOR, VMLAUNCH …). */
  saveRestore: 0x200000,
  /** With CET, the target must be ENDBR. */
  cetTracked: 0x400000,
  /** x87 that does not wait for pending exceptions (FNINIT …). */
  noWait: 0x800000,
  /** The memory operand's segment plays no part (LEA). */
  noSegment: 0x1000000,
  /** The index register is not part of the address. */
  noIndex: 0x2000000,
  /** Elements that the opmask leaves out become zero although EVEX.z is 0. */
  impliedZeroing: 0x4000000,
  /** The opmask register is written too. */
  opmaskWritten: 0x8000000,
  /** APX: a destination narrower than 64 bits clears the rest of its register. */
  zeroUpper: 0x10000000,
  /** APX: EVEX.NF is allowed, which leaves flags alone. */
  noFlags: 0x20000000,
  /** The opmask selects between two sources; nothing of the destination is kept. */
  opmaskSelects: 0x40000000,
} as const;

/** How the stack pointer's change is computed. @internal */
export const StackChange = {
  constant: 0,
  /** Constant plus the immediate (RET imm16). */
  immediate: 1,
  /** Three pops, in 64-bit mode five. */
  iret: 2,
  enter: 3,
} as const;

/** What a memory element holds. */
export const ElementKind = {
  /** Pointers, descriptors, state areas, BCD: not numbers of equal size in a row. */
  other: 0,
  unsigned: 1,
  signed: 2,
  /** IEEE 754 of 16, 32, 64, 128 bits, or the x87's 80. */
  float: 3,
  /** Of 16 bits BF16; of 8 bits BF8 (E5M2). */
  bfloat: 4,
  /** HF8 (E4M3). */
  hfloat: 5,
} as const;
export type ElementKind = (typeof ElementKind)[keyof typeof ElementKind];

/** Operations of implicit programs (scripts/table/implicit.ts writes, src/info/implicit.ts runs them). @internal */
export const Implicit = {
  end: 0,
  /** Registers: access, when, first register, how many. */
  registers: 1,
  /** The effective segment register: access, when. */
  segment: 2,
  /** Memory: access, when, segment, base; then row of the memory types. */
  memory: 3,
  /** Pushes or pops: when, how many, size in bytes. */
  push: 4,
  pop: 5,
  /** POP r/m: its address is computed with the stack pointer already incremented. */
  popRm: 6,
  enter: 7,
  leave: 8,
  /** PadLock XSTORE: size of addresses in bytes. */
  xstore: 9,
  /** Cyrix EMMI: access of the register whose number differs in the lowest bit. */
  partner: 10,
  /** POPA: size in bytes. The stack pointer's own slot is not read. */
  popa: 11,
} as const;

/** Values of `when`. @internal */
export const When = { always: 0, outside64: 1, in64: 2 } as const;

/** Bases of implicit memory that are not registers. @internal */
export const ImplicitBase = { operand0: 1, rdi: 2 } as const;

/** Special treatment of an encoding's explicit operands. @internal */
export const Special = {
  none: 0,
  /** String instruction: its addresses advance, and REP makes everything conditional. */
  string: 1,
  /** Operands 0 and 1 being the same register, nothing is read. */
  zeroIdiom2: 2,
  /** Operands 1 and 2 likewise. */
  zeroIdiom3: 3,
  /** Like `zeroIdiom2`, and the flags are those of zero. */
  zeroIdiomFlags2: 4,
  /** APX: operands 1 and 2 likewise. */
  zeroIdiomFlags3: 5,
  /** Address registers are used only as wide as operand 0 (LEA). */
  narrowAddress: 6,
  /** A count of zero, once masked, leaves flags alone. */
  count: 7,
  /** The index of AMX's sibmem is a stride, not part of the first row's address. */
  stride: 8,
} as const;

/** Bit positions in the `kinds` column of the attribute rows; the flow comes first. @internal */
export const Kinds = {
  condition: 4,
  privilege: 9,
  stack: 12,
  fpuIncrement: 14,
  fpuWritesTop: 17,
  fpuConditional: 18,
  modes: 19,
} as const;

/** Bit positions in the `treatment` column; {@link Special} comes first. @internal */
export const Treatment = { narrowed: 4, narrowClass: 9, vectorIndex: 13 } as const;
