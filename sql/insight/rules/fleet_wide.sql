/*
 * rule: CHPG809 fleet_wide
 * title: Many services at one hour
 * kind: incident
 * scope: findings
 * threshold: services = 5 services; Services with an incident that began within the same hours ...
 * threshold: services_ratio = 0.33 ratio; ... and their share of the fleet.
 */
