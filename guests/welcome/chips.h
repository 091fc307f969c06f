// The chips that every PC has beside its processors.
#ifndef WELCOME_CHIPS_H
#define WELCOME_CHIPS_H

void chips_report(void);

#endif
