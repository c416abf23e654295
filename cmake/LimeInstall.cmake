# cmake --install puts the program, the libraries with their headers, and a package config that find_package(lime-train)
# finds, so that another project links lime::layers, lime::io and the rest. Components are packages (LimePackage.cmake).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lime-train)
if(TARGET lime)
  install(TARGETS lime RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
endif()
get_property(libraries GLOBAL PROPERTY LIME_LIBRARIES)
install(TARGETS ${libraries} lime_hwy lime_xxhash EXPORT lime-train
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(TARGETS lime_scorer EXPORT lime-train
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT scorer NAMELINK_COMPONENT development)
foreach(folder IN LISTS LIME_FOLDERS)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/ DESTINATION include/lime/${folder} COMPONENT development
          FILES_MATCHING PATTERN "*.h")
endforeach()
set(share ${CMAKE_INSTALL_DATADIR}/lime-train)
install(DIRECTORY configs/ DESTINATION ${share}/configs COMPONENT program)
install(FILES launch/mpi_environment.sh launch/cluster_environment.sh launch/slurm_train.sbatch DESTINATION ${share} COMPONENT program)
install(DIRECTORY examples/ DESTINATION ${share}/examples COMPONENT development USE_SOURCE_PERMISSIONS)
install(EXPORT lime-train NAMESPACE lime:: DESTINATION ${cmake_dir} FILE lime-train-targets.cmake COMPONENT development)
configure_package_config_file(cmake/lime-train-config.cmake.in lime-train-config.cmake INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(lime-train-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lime-train-config.cmake ${PROJECT_BINARY_DIR}/lime-train-config-version.cmake
        DESTINATION ${cmake_dir} COMPONENT development)
