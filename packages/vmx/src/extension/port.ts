// The numbers of the port that everything here uses.
export { Answer, EventSource, EventType, Intercept, InterruptAnswer } from '@nest86/cpu/virtualization';
