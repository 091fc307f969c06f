/** An interrupt request line: who raises it holds it until it is no longer meant. */
export interface InterruptLine {
  /** @param level true: asserted, whatever the polarity of the wire */
  set(level: boolean): void;
}
