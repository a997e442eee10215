// Tells the server in which time zone to write times, from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const known = document.cookie.split('; ').find((pair) => pair.startsWith('zone='))?.slice(5);
if (zone && zone !== known) document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
