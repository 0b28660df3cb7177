/*
 * rule: CHPG709 lock_waits
 * title: Sessions wait for locks
 * kind: incident
 * scope: metrics
 * place: 140
 * function: _chpg_find_waits
 * threshold: sessions = 3 sessions; Sessions that wait for locks, on average, from which it is WARN.
 * threshold: hours = 2 hours; For so many hours they must have waited.
 * threshold: usual_factor = 3 factor; Of those that waited at most at these hours.
 */
