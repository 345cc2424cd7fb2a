//! pricetag-service
