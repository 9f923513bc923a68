/*
 * Log lines into the systemd journal, with their fields. When standard error is connected to the journal, and only then.
 */
#pragma once

void journal_use_when_there(void);
