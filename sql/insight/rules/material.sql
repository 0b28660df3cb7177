/*
 * rule: CHPG100 material
 * title: Which patterns are judged
 * scope: shared
 * threshold: total_us = 1000000 us; Total time from which a pattern is judged ...
 * threshold: time_ratio = 0.01 ratio; ... and its share of the service's time ...
 * threshold: active_executions = 0.05 executions; ... or the executions that run at a time, on average.
 * threshold: batch_avg_us = 5000000 us; Mean duration from which a pattern is a batch job ...
 * threshold: batch_calls_per_h = 4 executions/h; ... if it does not run more often.
 */
