/* Runs the program that its arguments name, on this process's console. For each byte on stdin, presses Ctrl-C on that console. Ends
 * with the program's exit status. `GenerateConsoleCtrlEvent` has no safe interface in Rust. */
#include <windows.h>

static DWORD WINAPI press(LPVOID unused) {
    char byte;
    DWORD read;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &byte, 1, &read, NULL) && read == 1)
        if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0))
            ExitProcess(98);
    return 0;
}

int main(void) {
    WCHAR *line = GetCommandLineW();
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION program;
    DWORD status;
    /* Past this program's own name. */
    WCHAR end = *line == L'"' ? *line++ : L' ';
    while (*line && *line != end)
        line++;
    if (*line == L'"')
        line++;
    while (*line == L' ')
        line++;
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &program))
        return 99;
    SetConsoleCtrlHandler(NULL, TRUE); /* after the start: the program would inherit it */
    CreateThread(NULL, 0, press, NULL, 0, NULL);
    WaitForSingleObject(program.hProcess, INFINITE);
    GetExitCodeProcess(program.hProcess, &status);
    ExitProcess(status);
}
