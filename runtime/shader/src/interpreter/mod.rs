//! Runs lowered modules on the CPU: all invocations of a workgroup advance together under a mask.
