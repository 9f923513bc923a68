/*
 * What the target's rooms are served with: one serve_*.c for each group, bound in rooms.c.
 */
#pragma once

#include "ext/away.h"
#include "ext/disco.h"
#include "ext/lease.h"
#include "ext/ping.h"
#include "ext/power.h"
#include "ext/presence.h"
#include "ext/quarantine.h"
#include "ext/run.h"
#include "ext/stream.h"
#include "ext/time.h"
#include "ext/version.h"
#include "target/target.h"

extern const struct disco_ops target_disco_ops;
extern const struct version_ops target_version_ops;
extern const struct time_ops target_time_ops;
extern const struct ping_ops target_ping_ops;
extern const struct presence_ops target_presence_ops;
extern const struct run_ops target_run_ops;
extern const struct stream_ops target_stream_ops;
extern const struct lease_ops target_lease_ops;
extern const struct quarantine_ops target_quarantine_ops;
extern const struct away_ops target_away_ops;
extern const struct power_ops target_power_ops;
