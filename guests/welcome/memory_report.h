// Which physical memory there is, as the loader tells.
#ifndef WELCOME_MEMORY_REPORT_H
#define WELCOME_MEMORY_REPORT_H

void memory_report(void);

#endif
