/* warrenctl: the admin CLI. The registry it talks to is not part of this version. */
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: warrenctl [--help | --version]\n"
    "\n"
    "The admin CLI of Warren's registry. This version of Warren serves DNS from local WireGuard\n"
    "devices only (warrend with a wgsd Corefile); it has no registry, so warrenctl has no verbs "
    "yet.\n";

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("warrenctl " WARREN_VERSION);
        return 0;
    }
    if (argc > 1)
        fprintf(stderr, "warrenctl: '%s' is not available: this version has no registry\n",
                argv[1]);
    fputs(usage, stderr);
    return 2;
}
