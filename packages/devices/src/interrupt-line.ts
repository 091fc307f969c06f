/** An interrupt request line: who raises it holds it until it is no longer meant. */
export interface InterruptLine {
  set(level: boolean): void;
}
