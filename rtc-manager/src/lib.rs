//! rtc-manager
