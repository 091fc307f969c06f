/** A feature name that does not exist, or a feature that is not to be had; the message says what is. */
export class CpuidFeatureError extends RangeError {
  override readonly name: string = 'CpuidFeatureError';
}

/** A property of a model that no processor has; the message says what is allowed. */
export class CpuidOptionError extends RangeError {
  override readonly name: string = 'CpuidOptionError';
}
