/*
 * rule: CHPG500 change
 * title: Thresholds of chpg_compare
 * scope: shared
 * threshold: calls_of_hour = 20 executions; Executions in an hour from which it is compared with others.
 * threshold: hours = 3 hours; So many hours have to be worse, or better ...
 * threshold: hours_ratio = 0.75 ratio; ... and such a share of those of the period.
 * threshold: p95_factor = 1.5 factor; How many times the baseline's 95th percentile ...
 * threshold: p95_gain_us = 5000 us; ... and how much above it, in microseconds ...
 * threshold: p95_calls = 200 executions; ... with so many executions in both windows.
 * threshold: avg_factor = 1.3 factor; How many times the baseline's mean ...
 * threshold: avg_calls = 50 executions; ... with so many executions in both windows.
 * threshold: excess_us = 5000000 us; Time lost, in microseconds ...
 * threshold: excess_ratio = 0.01 ratio; ... and its share of the service's time.
 * threshold: baseline_hours = 10 hours; Hours of the baseline below which blind_factor counts.
 * threshold: blind_factor = 2 factor; How many times slower, or faster, than the baseline's mean, or 95th
 *   percentile, with a few hours of the baseline, or without a history.
 * threshold: blind_calls = 1000 executions; Executions in both windows, without a history.
 * threshold: load_factor = 1.5 factor; How many times the service's executions of the baseline, at the same times
 *   of day, from which blind_factor counts for the latest hours.
 * threshold: improved_factor = 0.7 factor; The mean has improved up to so many times the baseline's.
 * threshold: surge_factor = 3 factor; How many times the baseline's executions per hour ...
 * threshold: surge_calls = 1000 executions; ... with so many of them ...
 * threshold: surge_ratio = 0.02 ratio; ... and a share of time that grew so much.
 */
