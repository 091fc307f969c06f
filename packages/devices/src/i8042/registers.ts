/** Status register, port 64h (IBM PS/2 Technical Reference, "Keyboard and auxiliary device controller"). */
export const Status = {
  outputFull: 0x01,
  system: 0x04,
  command: 0x08,
  notLocked: 0x10,
  auxiliary: 0x20,
} as const;

/** Controller configuration byte: commands 20h and 60h. */
export const Configuration = {
  keyboardInterrupt: 0x01,
  auxiliaryInterrupt: 0x02,
  system: 0x04,
  keyboardOff: 0x10,
  auxiliaryOff: 0x20,
  translate: 0x40,
} as const;

/** Commands, written to port 64h. */
export const Command = {
  readRam: 0x20,
  writeRam: 0x60,
  auxiliaryOff: 0xa7,
  auxiliaryOn: 0xa8,
  testAuxiliary: 0xa9,
  selfTest: 0xaa,
  testKeyboard: 0xab,
  keyboardOff: 0xad,
  keyboardOn: 0xae,
  readInput: 0xc0,
  readOutput: 0xd0,
  writeOutput: 0xd1,
  writeKeyboardBuffer: 0xd2,
  writeAuxiliaryBuffer: 0xd3,
  writeAuxiliary: 0xd4,
  a20Off: 0xdd,
  a20On: 0xdf,
  readTest: 0xe0,
  /** F0h to FFh: output port bits 3:0 go low for 6 µs where the command has zeros. */
  pulse: 0xf0,
} as const;

/** Output port. */
export const OutputPort = {
  /** Active low. */
  reset: 0x01,
  a20: 0x02,
  keyboardFull: 0x10,
  auxiliaryFull: 0x20,
  lines: 0xc0,
} as const;

/** Commands and answers of keyboard and mouse (PS/2 Technical Reference). */
export const Ps2 = {
  setScaling11: 0xe6,
  setScaling21: 0xe7,
  setResolution: 0xe8,
  statusRequest: 0xe9,
  setStreamMode: 0xea,
  readData: 0xeb,
  resetWrap: 0xec,
  setLeds: 0xed,
  echo: 0xee,
  scanCodeSet: 0xf0,
  setRemoteMode: 0xf0,
  identify: 0xf2,
  setRate: 0xf3,
  enable: 0xf4,
  disable: 0xf5,
  setDefaults: 0xf6,
  keyType: 0xfb,
  keyTypeLast: 0xfd,
  resend: 0xfe,
  reset: 0xff,
  acknowledge: 0xfa,
  testPassed: 0xaa,
  release: 0xf0,
} as const;
