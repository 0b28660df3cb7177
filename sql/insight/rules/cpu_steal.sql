/*
 * rule: CHPG710 cpu_steal
 * title: Other machines take the CPU's time
 * kind: incident
 * scope: metrics
 * place: 265
 * function: _chpg_find_cpu
 * threshold: percent = 10 percent; Time of all cores that the hypervisor gives to others, from which it is WARN.
 * threshold: hours = 2 hours; For so many hours it must have been taken.
 * threshold: usual_factor = 2 factor; Of what it was at most at these hours.
 */
