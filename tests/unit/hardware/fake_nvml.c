/* A driver library that answers NVML's questions from a text file (FAKE_NVML), for the real nvidia-ml-py to load.
 *
 * A line each:  gpu UUID MEMORY PCI MIG(1, 0, -1 for unknown) STATE(ok, lost, hang) NAME
 *               mig UUID MEMORY NAME               a MIG device of the gpu above
 *               process C|G PID MEMORY NAME        of the gpu above
 *               use PERCENT MEMORY                 of the gpu above: how busy it is, and what all programs hold
 *               link I J NVLINK(0 or 1) LEVEL
 *               init STATUS|hang
 * Numbers and structures: nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, UNLOADED = 9, LOST = 15 };

typedef struct { char kind; unsigned pid; unsigned long long memory; char name[256]; } Process;
typedef struct Device {
    char uuid[96], pci[32], state[16], name[128];
    unsigned long long memory, used;
    unsigned busy;
    int mig, index, migs, processes;
    struct Device *devices[16];
    Process process[64];
} Device;

static Device gpus[32];
static int count, links[32][32][2], init_status;

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int status) {
    return status == LOST ? "GPU is lost" : status == UNLOADED ? "Driver Not Loaded" : "Unknown Error";
}

int nvmlInitWithFlags(unsigned flags) {
    char line[512];
    FILE *file = fopen(getenv("FAKE_NVML"), "r");
    (void)flags;
    count = 0;
    while (file && fgets(line, sizeof line, file)) {
        Device *gpu = count ? &gpus[count - 1] : NULL;
        char word[16];
        int i, j, nvlink, level;
        if (!strncmp(line, "gpu ", 4)) {
            gpu = &gpus[count];
            gpu->index = count++;
            sscanf(line, "gpu %95s %llu %31s %d %15s %127[^\n]", gpu->uuid, &gpu->memory, gpu->pci, &gpu->mig, gpu->state, gpu->name);
        } else if (!strncmp(line, "mig ", 4)) {
            Device *device = calloc(1, sizeof *device);
            sscanf(line, "mig %95s %llu %127[^\n]", device->uuid, &device->memory, device->name);
            strcpy(device->state, "ok");
            gpu->devices[gpu->migs++] = device;
        } else if (!strncmp(line, "process ", 8)) {
            Process *process = &gpu->process[gpu->processes++];
            sscanf(line, "process %c %u %llu %255[^\n]", &process->kind, &process->pid, &process->memory, process->name);
        } else if (!strncmp(line, "use ", 4)) {
            sscanf(line, "use %u %llu", &gpu->busy, &gpu->used);
        } else if (sscanf(line, "link %d %d %d %d", &i, &j, &nvlink, &level) == 4) {
            links[i][j][0] = links[j][i][0] = nvlink;
            links[i][j][1] = links[j][i][1] = level;
        } else if (sscanf(line, "init %15s", word) == 1) {
            if (!strcmp(word, "hang")) pause();
            init_status = atoi(word);
        }
    }
    return init_status;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlDeviceGetCount_v2(unsigned *n) { *n = count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if ((int)index >= count) return INVALID;
    *device = &gpus[index];
    if (!strcmp(gpus[index].state, "hang")) pause();
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    for (int i = 0; i < count; i++)
        if (!strcmp(gpus[i].uuid, uuid)) return nvmlDeviceGetHandleByIndex_v2(i, device);
    return NOT_FOUND;
}

int nvmlDeviceGetUtilizationRates(Device *device, unsigned *percents) {
    percents[0] = device->busy;
    percents[1] = 0;
    return SUCCESS;
}

static int lost(Device *device) { return !strcmp(device->state, "lost"); }

int nvmlDeviceGetUUID(Device *device, char *text, unsigned length) {
    if (lost(device)) return LOST;
    snprintf(text, length, "%s", device->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(Device *device, char *text, unsigned length) {
    if (lost(device)) return LOST;
    snprintf(text, length, "%s", device->name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(Device *device, unsigned long long *memory) {
    if (!device->memory) return NOT_SUPPORTED;
    memory[0] = device->memory;
    memory[1] = device->memory - device->used;
    memory[2] = device->used;
    return SUCCESS;
}

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;

int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci) {
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%s", device->pci);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    if (device->mig < 0) return NOT_SUPPORTED;
    *current = *pending = device->mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *n) { (void)device; *n = 7; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **mig) {
    if ((int)index >= device->migs) return NOT_FOUND;
    *mig = device->devices[index];
    return SUCCESS;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } ProcessInfo;

static int list(Device *device, char kind, unsigned *n, ProcessInfo *info) {
    unsigned found = 0;
    for (int i = 0; i < device->processes; i++) {
        if (device->process[i].kind != kind) continue;
        if (info && found < *n) {
            info[found].pid = device->process[i].pid;
            info[found].memory = device->process[i].memory;
        }
        found++;
    }
    int fits = info ? found <= *n : found == 0;
    *n = found;
    return fits ? SUCCESS : SMALL;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *n, ProcessInfo *info) { return list(d, 'C', n, info); }

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *d, unsigned *n, ProcessInfo *info) { return list(d, 'G', n, info); }

int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned length) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < gpus[i].processes; j++)
            if (gpus[i].process[j].pid == pid) {
                snprintf(text, length, "%s", gpus[i].process[j].name);
                return SUCCESS;
            }
    return NOT_FOUND;
}

int nvmlDeviceGetP2PStatus(Device *a, Device *b, int capability, int *status) {
    (void)capability;
    *status = links[a->index][b->index][0] ? 0 : 1;
    return SUCCESS;
}

int nvmlDeviceGetTopologyCommonAncestor(Device *a, Device *b, int *level) {
    *level = links[a->index][b->index][1];
    return SUCCESS;
}
