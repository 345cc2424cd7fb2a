//! ap-gateway
