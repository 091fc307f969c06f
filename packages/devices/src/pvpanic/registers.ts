/** Bits of the event port (QEMU, "pvpanic device"). */
export const Event = { panicked: 0x01, crashLoaded: 0x02 } as const;
