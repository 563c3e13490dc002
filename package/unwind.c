/* GCC's unwinder asks glibc first where an address's unwind table is. musl has no such call: "not known" makes the
   unwinder look for itself, with dl_iterate_phdr. */
struct dl_find_object;

int _dl_find_object(void *address, struct dl_find_object *found)
{
    (void)address;
    (void)found;
    return -1;
}
