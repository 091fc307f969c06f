/** Value types; the numbers are their bytes in the binary format. */
export const ValueType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b, funcref: 0x70 } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** How memory is addressed and shared; everything that is built asks this instead of assuming 32 bits. */
export interface MemoryShape {
  readonly addressType: 'i32' | 'i64';
  readonly shared: boolean;
  /** Pages of 64 KiB. A shared memory must name its maximum. */
  readonly minimumPages: number;
  readonly maximumPages?: number;
}
